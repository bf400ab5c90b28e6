"""A chain's patches merged and applied: against a model, over random histories (docs/format.md § 7.2)."""

from __future__ import annotations

import io
import random
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.api.entry import DIR, REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed
from tarragon.delta import rsync
from tarragon.delta.difftar import DIFF, GONE, LOST, SNAPSHOT, Patch
from tarragon.delta.patch import Step, apply, merge, newest_intact

PATHS = [b"", b"a", b"a/x", b"a-", b"b", b"c"]


def signature(content):
    signer = rsync.signer(512)
    return signer.update(content) + signer.finish()


def delta(old, new):
    making = rsync.delta(rsync.signature_of(signature(old)), 512)
    return making.update(new) + making.finish()


def rdiff_delta(old, new, place):
    """The same by librsync's own program."""
    (place / "signature").write_bytes(signature(old))
    words = ["rdiff", "delta", place / "signature", "-", "-"]
    return subprocess.run(words, input=new, capture_output=True, check=True).stdout


def content(seed):
    return random.Random(seed).randbytes(seed * 300 % 5000)


class History:
    """What happened to some paths over some sets, and what must be there at the end."""

    def __init__(self, steps):
        """``steps``: per set, what happens to each path: "new", "change", "delete", "dir", "lose", None."""
        self.sets = []
        self.state = {}  # path → content, DIR or LOST
        self.intact = {}  # path → age of the newest version that can be had
        for age, happenings in enumerate(steps):
            patches = []
            for path in sorted(happenings, key=order_key):
                patch = self._happen(age, path, happenings[path])
                if patch is not None:
                    patches.append(patch)
            self.sets.append(patches)

    def _happen(self, age, path, what):
        old = self.state.get(path)
        entry = Entry(path, REG, 0o600 + age, mtime=age)
        new = content(age + len(path) + 1)
        if what == "change" and (isinstance(old, bytes) or old == LOST):
            changed = delta(old if isinstance(old, bytes) else b"?", new)
            if old != LOST:
                self.state[path], self.intact[path] = new, age
            return Patch(DIFF, entry, iter([changed[:7], changed[7:]]))
        if what in ("new", "change"):
            self.state[path], self.intact[path] = new, age
            return Patch(SNAPSHOT, entry, iter([new]))
        if what == "dir":
            self.state[path], self.intact[path] = DIR, age
            return Patch(SNAPSHOT, entry._replace(kind=DIR), iter(()))
        if what == "delete" and path and old is not None:
            self.state.pop(path)
            return Patch(GONE, entry, iter(()))
        if what == "lose":
            self.state[path] = LOST
            return Patch(LOST, entry, iter(()), "gone")
        return None


happenings = st.dictionaries(
    st.sampled_from(PATHS), st.sampled_from(["new", "change", "change", "delete", "dir", "lose"]), max_size=5
)


@pytest.mark.requirement("R6")
@settings(max_examples=300, deadline=None)
@given(st.lists(happenings, min_size=1, max_size=8))
def test_what_comes_out_is_what_the_model_says(steps):
    history = History(steps)
    found = {}
    for sequence in merge([iter(patches) for patches in history.sets]):
        restored = apply(sequence, io.BytesIO)
        if restored is None:
            continue
        path = restored.entry.path
        if restored.lost:
            found[path] = LOST
            assert restored.newest_intact == history.intact.get(path)
        elif restored.entry.kind == DIR:
            found[path] = DIR
        else:
            found[path] = b"".join(restored.data)
    assert history.state == found
    assert list(found) == sorted(found, key=order_key)


def test_all_that_a_path_is_comes_from_its_last_step():
    old, new = b"old content", b"new content"
    patches = [
        Patch(SNAPSHOT, Entry(b"f", REG, 0o600, 1, 2, b"u", b"g", 5), iter([old])),
        Patch(DIFF, Entry(b"f", REG, 0o755, 3, 4, b"v", b"h", 9), iter([delta(old, new)])),
    ]
    (sequence,) = merge([[patch] for patch in patches])
    restored = apply(sequence, io.BytesIO)
    assert (patches[1].entry, True, new) == (restored.entry, restored.patched, b"".join(restored.data))


def test_deltas_of_rdiff_are_applied(tmp_path):
    versions = [content(40), content(40)[:2000] + b"inserted" + content(40)[2000:], b"", content(7)]
    sets = [[Patch(SNAPSHOT, Entry(b"f", REG), iter([versions[0]]))]]
    for old, new in zip(versions, versions[1:], strict=False):
        sets.append([Patch(DIFF, Entry(b"f", REG), iter([rdiff_delta(old, new, tmp_path)]))])
    (sequence,) = merge(sets)
    assert versions[-1] == b"".join(apply(sequence, io.BytesIO).data)


def sequence_of(*patches):
    (sequence,) = merge([[patch] for patch in patches])
    return sequence


F = Entry(b"f", REG)


@pytest.mark.parametrize(
    "patches",
    [
        [Patch(DIFF, F, iter([b"x"]))],
        [Patch(GONE, F, iter(())), Patch(DIFF, F, iter([b"x"]))],
        [Patch(SNAPSHOT, F._replace(kind=DIR), iter(())), Patch(DIFF, F, iter([b"x"]))],
        [Patch(SNAPSHOT, F._replace(kind=SYM), iter(())), Patch(DIFF, F, iter([b"x"]))],
    ],
)
def test_a_diff_without_a_file_before_it_costs_that_path_only(patches):
    assert apply(sequence_of(*patches), io.BytesIO).lost


def test_what_is_lost_matters_not_when_a_whole_version_came_later():
    restored = apply(sequence_of(Patch(LOST, F, iter(()), "gone"), Patch(SNAPSHOT, F, iter([b"x"]))), io.BytesIO)
    assert (restored.lost, b"".join(restored.data)) == ("", b"x")


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    "bad", [b"", b"rs\x026", b"rs\x026\x45\x00\xff\x00", b"rs\x026\x05abc", b"garbage", b"rs\x026\xff"]
)
def test_a_delta_that_does_not_fit_is_malformed_and_no_garbage(bad):
    restored = apply(sequence_of(Patch(SNAPSHOT, F, iter([b"basis"])), Patch(DIFF, F, iter([bad]))), io.BytesIO)
    with pytest.raises(Malformed):
        b"".join(restored.data)


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("block_len", [0, 2**32 - 1])
def test_a_signature_with_blocks_of_no_possible_length_is_malformed(block_len):
    with pytest.raises(Malformed):
        rsync.signer(block_len)
    with pytest.raises(Malformed):
        rsync.signature_of(b"rs\x016" + block_len.to_bytes(4, "big") + (8).to_bytes(4, "big") + bytes(12))


@pytest.mark.parametrize(
    ("whats", "intact"),
    [
        ([SNAPSHOT, LOST], 0),
        ([SNAPSHOT, DIFF, LOST], 1),
        ([SNAPSHOT, DIFF, LOST, DIFF], 1),
        ([SNAPSHOT, GONE, LOST], 0),
        ([LOST, DIFF], None),
        ([LOST, SNAPSHOT, LOST], 1),
        ([DIFF, LOST], None),
        ([GONE, LOST], None),
    ],
)
def test_the_newest_version_that_is_whole_is_named(whats, intact):
    assert intact == newest_intact([Step(age, Patch(what, F, iter(()))) for age, what in enumerate(whats)])


@pytest.mark.requirement("R62")
def test_few_files_are_open_however_long_the_chain(tmp_path):
    versions = [content(number + 1) for number in range(120)]
    sets = [[Patch(SNAPSHOT, F, iter([versions[0]]))]]
    for old, new in zip(versions, versions[1:], strict=False):
        sets.append([Patch(DIFF, F, iter([delta(old, new)]))])
    open_now, most = [0], [0]

    class Counted(io.BytesIO):
        def __init__(self):
            super().__init__()
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])

        def close(self):
            if not self.closed:
                open_now[0] -= 1
            super().close()

    (sequence,) = merge(sets)
    assert versions[-1] == b"".join(apply(sequence, Counted).data)
    assert (open_now[0], most[0] <= 4) == (0, True)
