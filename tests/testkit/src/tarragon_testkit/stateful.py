"""Any backend against a dict: hypothesis plays calls in orders nobody thought of, and both must say the same."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tarragon.api import Capability, NotFound, Role

from .fakes import BytesSource
from .harness import drained, raises

if TYPE_CHECKING:
    from .harness import Harness

_WORDS = st.sampled_from(["a", "b", "aa", "a.b"])  # few, so that calls meet; one begins with another
_CONTENTS = st.sampled_from(["", "x", "0123456789" * 4, "large"])  # by name: what fails is shown whole


def _bytes(content: str) -> bytes:
    return bytes(70_000) if content == "large" else content.encode()


def behaves_like_a_dict(h: Harness, *, examples: int = 10, steps: int = 15) -> None:
    """Raise what differs, with the shortest sequence of calls found that shows it. The same calls at every run."""
    numbers = iter(range(1_000_000))

    class Machine(_Machine):
        harness = h

        def __init__(self) -> None:
            super().__init__(h.own(f"{next(numbers)}-"))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


class _Machine(RuleBasedStateMachine):
    """One example: its names have a prefix of their own."""

    harness: Harness

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.model: dict[str, str] = {}
        self.backend = self.harness.backend
        self.other = self.mine = self.harness.connect()

    def _name(self, word: str) -> str:
        return f"{self.prefix}{word}"

    def _read(self, name: str) -> bytes:
        return self.harness.read(name, backend=self.backend)

    @rule(word=_WORDS, content=_CONTENTS)
    def put(self, word: str, content: str) -> None:
        self.backend.put(self._name(word), BytesSource(_bytes(content)), Role.MANIFEST)
        self.model[self._name(word)] = content

    @rule(word=_WORDS)
    def read(self, word: str) -> None:
        name = self._name(word)
        if name in self.model:
            assert self.harness.eventually(lambda: self._read(name) == _bytes(self.model[name]))
        else:
            raises(NotFound, lambda: self._read(name))

    @rule(word=_WORDS)
    def delete(self, word: str) -> None:
        name = self._name(word)
        if self.model.pop(name, None) is None:
            raises(NotFound, lambda: self.backend.delete(name))
        else:
            self.backend.delete(name)

    @rule(words=st.lists(_WORDS, max_size=3))
    def delete_many(self, words: list[str]) -> None:
        self.backend.delete_many([self._name(word) for word in words])
        for word in words:
            self.model.pop(self._name(word), None)

    @rule(word=_WORDS)
    def stat(self, word: str) -> None:
        name = self._name(word)
        if name not in self.model:
            raises(NotFound, lambda: self.backend.stat(name))
        else:
            assert self.harness.eventually(
                lambda: self.backend.stat(name).size in (None, len(_bytes(self.model[name])))
            )

    @precondition(lambda self: Capability.RENAME in self.backend.capabilities)
    @rule(old=_WORDS, new=_WORDS)
    def rename(self, old: str, new: str) -> None:
        if old == new:
            return
        if self._name(old) in self.model:
            self.backend.rename(self._name(old), self._name(new))
            self.model[self._name(new)] = self.model.pop(self._name(old))
        else:
            raises(NotFound, lambda: self.backend.rename(self._name(old), self._name(new)))

    @precondition(lambda self: Capability.EXCLUSIVE_PUT in self.backend.capabilities)
    @rule(word=_WORDS, content=_CONTENTS)
    def put_new(self, word: str, content: str) -> None:
        name = self._name(word)
        assert self.backend.put_new(name, BytesSource(_bytes(content)), Role.OWN) is (name not in self.model)
        self.model.setdefault(name, content)

    @precondition(lambda self: Capability.RANGES in self.backend.capabilities)
    @rule(word=_WORDS, start=st.integers(0, 50), length=st.integers(1, 50))
    def read_a_range(self, word: str, start: int, length: int) -> None:
        name = self._name(word)
        data = _bytes(self.model.get(name, ""))
        if start < len(data):
            with closing(self.backend.read(name, start, start + length)) as stream:
                assert drained(stream) == data[start : start + length]

    @rule()
    def reconnect(self) -> None:
        self.backend.reconnect()

    @rule()
    def swap_connections(self) -> None:
        self.backend, self.other = self.other, self.backend

    @invariant()
    def both_list_the_same(self) -> None:
        def same() -> bool:
            listed = [info.name for info in self.backend.list(self.prefix)]
            return sorted(listed) == sorted(self.model)

        assert self.harness.eventually(same)

    def teardown(self) -> None:
        self.backend.delete_many(sorted(self.model))
        self.mine.close()  # whatever was swapped: the harness's own goes on to serve the next example
