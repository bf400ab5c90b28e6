"""The command check-backend: every promise is asked of the user's store, in names of its own, which are deleted."""

from __future__ import annotations

import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tarragon.api import BadOption, TarragonError

from .contract import BACKEND
from .harness import Harness, NotAsked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.api import Backend, Context

    from .harness import Check

#: Output: shown at every verbosity.
_SHOW = 60
_WIDTH = 80
_FEW = 30
#: Exit status when a promise is broken, or something was left behind.
BROKEN = 1


class CheckBackend:
    """``tarragon check-backend [--settle SECONDS] [--many NUMBER] [--small] URL``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept, self._unasked = 0, 0
        self._broken: list[str] = []
        self._salts: list[str] = []

    def __call__(self, words: Sequence[str]) -> int:
        if words:
            raise BadOption(f"'check-backend' takes a URL only, not '{words[0]}'")
        url, first = self._context.url, self._connect()
        try:
            before = {info.name for info in first.list()}
            self._say(f"{len(BACKEND.checks)} promises, asked of {url}")
            self._say(f"It holds {len(before)} objects, which are left alone; what is stored now is deleted again.")
            self._say("")
            for check in BACKEND.checks:
                self._ask(check, first)
            left = self._left_behind(first, before)
        finally:
            first.close()
        return self._verdict(left)

    def _connect(self) -> Backend:
        return self._context.open_backend(self._context.url.raw)

    def _say(self, text: str) -> None:
        self._context.log.log(_SHOW, "%s", text)

    def _ask(self, check: Check, first: Backend) -> None:
        if reason := check.skip_reason(first.capabilities):
            self._unasked += 1
            self._line("-", check, reason)
            return
        try:
            harness = self._harness()
        except TarragonError as err:
            self._fail(check, err)
            return
        try:
            check.run(harness)
        except NotAsked as err:
            self._unasked += 1
            self._line("-", check, str(err))
        except Exception as err:  # noqa: BLE001 - whatever a broken driver raises, the promise is broken
            self._fail(check, err)
        else:
            self._kept += 1
            self._line("ok", check)
        self._close(harness, check)

    def _harness(self) -> Harness:
        options, url = self._context.options, self._context.url
        harness = Harness(
            self._connect,
            settle_s=options.settle,
            small=options.small,
            many=min(options.many, _FEW) if options.small else options.many,
            secrets=[url.password.reveal()] if url.password else [],
        )
        self._salts.append(harness.salt)
        return harness

    def _close(self, harness: Harness, check: Check) -> None:
        try:
            harness.close()
        except Exception as err:  # noqa: BLE001 - as above
            if check.name not in self._broken:
                self._fail(check, err)

    def _fail(self, check: Check, err: BaseException) -> None:
        self._broken.append(check.name)
        self._line("BROKEN", check, _reason(err))

    def _line(self, verdict: str, check: Check, reason: str = "") -> None:
        self._say(f"{verdict:<6}  {check.name.replace('_', ' ')}"[:_WIDTH])
        for line in textwrap.wrap(reason, _WIDTH - 8)[:6]:
            self._say(f"        {line}")

    def _left_behind(self, backend: Backend, before: set[str]) -> list[str]:
        """What is there now and was not, after what is provably of this run has been deleted."""
        left = {info.name for info in backend.list()} - before
        ours = [name for name in left if any(salt in name for salt in self._salts)]
        if ours:
            backend.delete_many(ours)
            left = {info.name for info in backend.list()} - before
        return sorted(left)

    def _verdict(self, left: Sequence[str]) -> int:
        self._say("")
        self._say(f"{self._kept} kept, {len(self._broken)} broken, {self._unasked} not asked")
        if left:
            self._say(f"left behind: {len(left)} objects that nobody deleted, the first is '{left[0]}'")
        self._context.facts.update(
            kept=self._kept, broken=list(self._broken), not_asked=self._unasked, left_behind=list(left)
        )
        return BROKEN if self._broken or left else 0


def _reason(err: BaseException) -> str:
    """What went wrong: the error, and for a comparison that does not hold, the line that compares."""
    if not isinstance(err, AssertionError):
        return f"{type(err).__name__}: {err}"
    here = Path(__file__).parent
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if Path(frame.filename).parent == here]
    line = frames[-1].line if frames else ""
    return f"{err}: {line}" if str(err) else f"does not hold: {line}"
