"""The promises of filters and of statistics sinks, one function each; the name is the promise. No pytest here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tarragon.api import (
    BLK,
    CHR,
    DIR,
    FIFO,
    REG,
    SOCK,
    SYM,
    Entry,
    FileSeen,
    FilesSame,
    Filter,
    Note,
    Outcome,
    Role,
    SetCommitted,
    SetInfo,
    Sink,
    StoredVolume,
    UserError,
    Verdict,
)

from .harness import Contract, NotAsked
from .quiet import output, touches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NOW = 1_700_000_000
_PATHS = (b"", b"a", b"a/b.txt", b"a/b.txt/c", b"a/.hidden", b"\xff\xfe/caf\xe9", b"new\nline", b"x" * 255, b"a" * 3000)
#: One of every kind at every path, some old, some large.
ENTRIES = tuple(
    Entry(path, kind, 0o644, 1000, 1000, b"me", b"us", _NOW - 86400 * at, 1000 << at, target=b"b", on_device=at % 2)
    for at, path in enumerate(_PATHS)
    for kind in (REG, DIR, SYM, FIFO, CHR, BLK, SOCK)
    if path or kind == DIR
)


class FilterHarness:
    """Makes the filter under test, anew each time. ``expected``: path → the verdict on a regular file there."""

    def __init__(
        self,
        make: Callable[[], Filter],
        *,
        looks_at_disk: bool = False,
        expected: Mapping[bytes, Verdict | None] | None = None,
    ) -> None:
        self.make, self.looks_at_disk, self.expected = make, looks_at_disk, expected or {}


FILTER = Contract()
check = FILTER.check


@check()
def it_answers_a_verdict_or_nothing(h: FilterHarness) -> None:
    judge = h.make()
    for entry in ENTRIES:
        answer = judge(entry)
        assert answer is None or isinstance(answer, Verdict), f"{answer!r} on {entry.path!r}"


@check()
def the_same_entry_gets_the_same_verdict(h: FilterHarness) -> None:
    judge, again = h.make(), h.make()
    first = [judge(entry) for entry in ENTRIES]
    assert [judge(entry) for entry in ENTRIES] == first
    assert [again(entry) for entry in reversed(ENTRIES)] == first[::-1]


@check()
def any_bytes_can_be_a_path(h: FilterHarness) -> None:
    judge = h.make()
    for byte in range(1, 256):
        for path in (bytes([byte]), b"a" + bytes([byte, byte]) + b"b"):
            if b"/" not in path:
                judge(Entry(path, REG))


@check()
def only_a_filter_that_can_exclude_excludes(h: FilterHarness) -> None:
    judge = h.make()
    assert isinstance(judge.can_exclude, bool)
    assert judge.can_exclude or not any(judge(entry) is Verdict.EXCLUDE for entry in ENTRIES)


@check()
def its_rank_is_a_whole_number(h: FilterHarness) -> None:
    assert isinstance(h.make().rank, int)


@check()
def it_looks_at_the_entry_alone(h: FilterHarness) -> None:
    if h.looks_at_disk:
        raise NotAsked("it says that it looks at the disk")
    judge = h.make()
    for entry in ENTRIES[:20]:
        judge(entry)  # what it imports at its first call is not what it looks at
    with touches() as touched:
        for entry in ENTRIES:
            judge(entry)
    assert touched == []


@check()
def it_answers_as_its_author_says(h: FilterHarness) -> None:
    if not h.expected:
        raise NotAsked("no verdicts are expected")
    judge = h.make()
    assert {path: judge(Entry(path, REG)) for path in h.expected} == dict(h.expected)


# -- sinks ------------------------------------------------------------------------------------------------------------


class _Unheard(NamedTuple):
    """An event of a later API."""

    what: str


def events() -> list[Any]:
    """What a backup tells, in its order, and something of every kind."""
    meta = {
        "action": "full", "skipped_inc": False, "time_full_bkp": _NOW, "time_full_bkp_str": "20231114T221320Z",
        "no_of_inc": 0, "concurrency": 0, "target": "file:///box", "source": "src", "local_json_stat": ["N/A"],
    }  # fmt: skip
    told: list[Any] = [Note("walk_started", {"time": float(_NOW)})]
    for change in ("new", "changed", "deleted", "same", "unreadable", "restored"):
        told += [FileSeen(path, kind, change, 1000, 100) for path in _PATHS for kind in (REG, DIR, SYM)]
    told += [FilesSame(12, 12_000), Note("range", {"bytes": 70_000}), Note("walk_ended", {"time": _NOW + 2.5})]
    told += [
        Note("problem", {"kind": "unreadable", "path": b"\xff", "reason": "no"}),
        *(StoredVolume(f"duplicity-full.{role.value}", role, 4096, "0" * 40, number=1) for role in Role),
        Note("set", meta),
        SetCommitted(SetInfo("key", "full", _NOW, _NOW, 1, encrypted=False)),
    ]
    return told


def outcomes() -> list[Outcome]:
    """How runs end."""
    return [
        Outcome("full", 0, _NOW, _NOW + 3.0, facts={"problems": 0}),
        Outcome("full", 23, _NOW, _NOW + 3.0, UserError("no such option")),
        Outcome("verify", 1, _NOW, _NOW, None, {"differences": 1}),
        Outcome("full", 30, _NOW, _NOW + 3.0, ValueError("what nobody foresaw")),
    ]


class SinkHarness:
    """Makes the sinks of one name, as for one run; and for any names."""

    def __init__(self, make: Callable[[Sequence[str]], Sequence[Sink]], name: str) -> None:
        self.make_for, self.name = make, name

    def make(self) -> Sequence[Sink]:
        return self.make_for([self.name])

    def played(self, outcome: Outcome) -> list[bytes | None]:
        """A whole run; what the sinks want stored beside the set."""
        documents = []
        for sink in self.make():
            for event in events():
                sink.record(event)
            documents.append(sink.document())
            sink.close(outcome)
        return documents


SINK = Contract()
check = SINK.check


@check()
def it_is_made_for_its_name_and_no_other(h: SinkHarness) -> None:
    assert list(h.make_for(["nobody-has-this-name"])) == []
    assert list(h.make()) != []


@check()
def it_hears_a_whole_run_however_that_ends(h: SinkHarness) -> None:
    for outcome in outcomes():
        h.played(outcome)


@check()
def an_event_of_an_unknown_kind_does_no_harm(h: SinkHarness) -> None:
    for sink in h.make():
        for event in (_Unheard("later"), Note("unheard", {}), *events()):
            sink.record(event)
        sink.close(outcomes()[0])


@check()
def it_can_be_closed_without_having_heard_anything(h: SinkHarness) -> None:
    for outcome in outcomes():
        for sink in h.make():
            sink.document()
            sink.close(outcome)


@check()
def its_document_is_bytes_or_nothing(h: SinkHarness) -> None:
    for document in h.played(outcomes()[0]):
        assert document is None or isinstance(document, bytes)


@check()
def it_speaks_through_the_log_alone(h: SinkHarness) -> None:
    with output() as printed:
        for outcome in outcomes():
            h.played(outcome)
        text = printed()
    assert text == ""
