"""What par2 adds to a store: recovery files beside each object, and objects that are whole though they were hurt."""

from __future__ import annotations

import logging
import random
import shutil
import struct
import subprocess

import pytest
from tarragon.api import (
    BackendError,
    BadOption,
    Capability,
    IntegrityError,
    MissingPackage,
    NotFound,
    Role,
    Transient,
    Unsupported,
    WrongSize,
)
from tarragon_par2.backend import Par2Backend
from tarragon_par2.packets import copy_whole, packets, protected, recovery_of
from tarragon_testkit import BytesSource, FaultyBackend, MemoryBackend, TestContext

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="the program par2 is not installed")

NAME = "duplicity-full.20231114T221320Z.vol1.difftar.gz"
DATA = random.Random(2).randbytes(20_000)
RENAMES = MemoryBackend.everything & ~Capability.ATOMIC_PUT


@pytest.fixture
def par2(tmp_path):
    def make(inner=None, *, env=None, **options):
        given = {"par2_options": ("-b50",), "par2_redundancy": 20, "par2_volumes": 1, "file_prefix": "", **options}
        return Par2Backend(inner or MemoryBackend(), TestContext(given, env, tempdir=tmp_path))

    return make


@pytest.fixture
def nothing_left(tmp_path):
    yield
    assert list(tmp_path.iterdir()) == []


def stored(backend, data=DATA, name=NAME):
    backend.put(name, BytesSource(data), Role.VOLUME)
    return backend.inner.objects


def read(backend, name=NAME):
    with backend.read(name) as stream:
        return stream.read()


def flipped(data, *places):
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


def recovery_blocks(objects, name=NAME):
    return next(each for each in objects if each.startswith(f"{name}.vol"))


# -- what is stored ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
def test_recovery_files_have_duplicitys_names_and_stand_beside_the_object(par2):
    objects = stored(par2())
    assert {NAME, f"{NAME}.par2"} < objects.keys()
    assert [recovery_of(name) for name in objects.keys() - {NAME, f"{NAME}.par2"}] == [(NAME, 10)]
    assert objects[NAME] == DATA


def test_the_inner_backend_is_told_which_are_recovery_files(par2):
    backend = par2()
    stored(backend)
    assert {name: role.name for name, role in backend.inner.roles.items()} == {
        NAME: "VOLUME",
        f"{NAME}.par2": "RECOVERY",
        recovery_blocks(backend.inner.objects): "RECOVERY",
    }


def test_any_par2_program_checks_and_mends_what_is_stored(par2, tmp_path):
    for name, data in stored(par2()).items():
        (tmp_path / name).write_bytes(flipped(data, 77) if name == NAME else data)
    command = ["par2", "r", "-q", "-q", f"{NAME}.par2"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / NAME).read_bytes() == DATA


def test_recovery_files_are_hidden_and_are_no_objects(par2):
    backend = par2()
    stored(backend)
    assert [info.name for info in backend.list()] == [NAME]
    for refused in (backend.read, backend.stat, backend.delete):
        with pytest.raises(NotFound):
            refused(f"{NAME}.par2")
    with pytest.raises(NotFound):
        backend.put(f"{NAME}.par2", BytesSource(b"x"), Role.VOLUME)


def test_several_recovery_files_are_made_where_there_are_blocks_for_them(par2):
    objects = stored(par2(par2_volumes=3))
    assert len(objects) == 2 + 3


def test_a_file_with_too_few_blocks_gets_one_recovery_file(par2):
    objects = stored(par2(par2_volumes=3, par2_options=("-s4096",)), b"small")
    assert len(objects) == 2 + 1


def test_an_empty_object_has_no_recovery_files_and_loses_those_of_an_older_one(par2):
    backend = par2()
    stored(backend)
    assert stored(backend, b"").keys() == {NAME}
    assert read(backend) == b""


@pytest.mark.usefixtures("nothing_left")
def test_words_that_par2_refuses_are_a_typed_error_with_its_own_words(par2):
    with pytest.raises(BackendError, match="redundancy") as caught:
        stored(par2(par2_redundancy=300))
    assert "--par2-redundancy" in caught.value.hint


def test_words_that_cannot_be_split_are_refused_at_the_start(par2):
    with pytest.raises(BadOption, match="cannot be split"):
        par2(par2_options=("'open",))


@pytest.mark.parametrize("name", ["-rf", "a b;c$(d)`e`", "x*y?[z]", "--", "@list", "'\"", "%0a"])
def test_odd_names_reach_par2_as_names(par2, name):
    backend = par2()
    objects = stored(backend, name=name)
    objects[name] = flipped(DATA, 5)
    assert read(backend, name) == DATA


@pytest.mark.parametrize("inner", [MemoryBackend.everything, RENAMES])
def test_an_object_that_cannot_be_stored_leaves_no_recovery_files(par2, inner):
    faulty = FaultyBackend(MemoryBackend(capabilities=inner), {"put": [None, None, Transient("reset")]})
    with pytest.raises(Transient):
        par2(faulty).put(NAME, BytesSource(DATA), Role.VOLUME)
    assert faulty.inner.objects == {}


def test_recovery_files_are_there_before_the_object(par2):
    faulty = FaultyBackend(MemoryBackend())
    par2(faulty).put(NAME, BytesSource(DATA), Role.VOLUME)
    assert [name for call, name in faulty.calls if call == "put"][-1] == NAME


# -- where a put is made whole by a rename ----------------------------------------------------------------------------


def test_a_put_is_whole_where_the_inner_backend_can_rename(par2):
    backend = par2(MemoryBackend(capabilities=RENAMES), file_prefix="host-")
    assert Capability.ATOMIC_PUT in backend.capabilities
    faulty = FaultyBackend(backend.inner)
    backend.inner = faulty
    backend.put(NAME, BytesSource(DATA), Role.VOLUME)
    put_as = [name for call, name in faulty.calls if call == "put"]
    assert all(name.startswith("host-tarragon.tmp-") for name in put_as)
    names = faulty.inner.objects.keys()
    assert {recovery_of(name) or NAME for name in names} == {NAME, (NAME, 0), (NAME, 10)}


def test_recovery_files_hold_the_name_that_the_object_has_in_the_end(par2):
    backend = par2(MemoryBackend(capabilities=RENAMES))
    objects = stored(backend)
    assert protected(objects[f"{NAME}.par2"], NAME) is not None
    objects[NAME] = flipped(DATA, 9)
    assert read(backend) == DATA


def test_a_short_upload_never_gets_the_name(par2):
    def short(inner, name, source, role):
        inner.put(name, BytesSource(source.open().read()[:-1]), role)

    faulty = FaultyBackend(MemoryBackend(capabilities=RENAMES), {"put": [None, None, short]})
    with pytest.raises(WrongSize):
        par2(faulty).put(NAME, BytesSource(DATA), Role.VOLUME)
    assert faulty.inner.objects == {}


def test_renaming_is_not_claimed_and_not_done(par2):
    backend = par2()
    stored(backend)
    assert Capability.RENAME not in backend.capabilities
    with pytest.raises(Unsupported):
        backend.rename(NAME, "other")


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
def test_damage_within_the_redundancy_is_mended_and_said(par2, caplog):
    backend = par2()
    objects = stored(backend)
    objects[NAME] = damaged = flipped(DATA, 3, 5_000, 19_999)
    with caplog.at_level(logging.WARNING):
        assert read(backend) == DATA
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"'{NAME}' is damaged at the target; it was mended" in caplog.text
    assert objects[NAME] == damaged


@pytest.mark.parametrize("cut", [slice(0, -3000), slice(3000, None)])
def test_a_cut_object_is_mended(par2, cut):
    backend = par2()
    objects = stored(backend)
    objects[NAME] = DATA[cut]
    assert read(backend) == DATA


def test_an_object_that_grew_is_mended_and_not_read_without_end(par2):
    backend = par2()
    stored(backend)
    backend.inner.objects[NAME] = DATA + bytes(30 << 20)
    taken = []

    class Counting:
        def __init__(self, stream):
            self.stream = stream

        def read(self, size):
            taken.append(size)
            return self.stream.read(size)

        def close(self):
            self.stream.close()

    faulty = FaultyBackend(backend.inner, {"read": [None, lambda inner, *given: Counting(inner.read(*given))]})
    backend.inner = faulty
    assert read(backend) == DATA
    assert sum(taken) < 4 << 20


@pytest.mark.usefixtures("nothing_left")
def test_damage_beyond_the_redundancy_is_a_typed_error(par2):
    backend = par2()
    objects = stored(backend)
    objects[NAME] = flipped(DATA, *range(0, 20_000, 300))
    with pytest.raises(IntegrityError, match="recovery files cannot mend it"):
        backend.read(NAME)


def test_sizes_are_told_but_do_not_bind(par2):
    backend = par2()
    objects = stored(backend)
    objects[NAME] = DATA[:-1]
    assert [info.size for info in backend.list()] == [len(DATA) - 1]
    assert Capability.SIZES not in backend.capabilities


@pytest.mark.parametrize("harm", ["gone", "empty", "damaged"])
def test_recovery_files_help_each_other_out(par2, harm):
    backend = par2()
    objects = stored(backend)
    index = objects.pop(f"{NAME}.par2")
    if harm != "gone":
        objects[f"{NAME}.par2"] = b"" if harm == "empty" else bytes(byte ^ 0x55 for byte in index)
    objects[NAME] = flipped(DATA, 3)
    assert read(backend) == DATA


def test_damaged_recovery_blocks_are_left_out(par2):
    backend = par2(par2_volumes=2)
    objects = stored(backend)
    volumes = sorted(name for name in objects if ".vol" in name.removeprefix(NAME))
    objects[volumes[0]] = flipped(objects[volumes[0]], 200)
    objects[NAME] = flipped(DATA, 3)
    assert read(backend) == DATA


def test_an_object_without_recovery_files_is_read_as_it_is(par2):
    inner = MemoryBackend({NAME: b"stored without par2+"})
    assert read(par2(inner)) == b"stored without par2+"


def test_objects_without_recovery_files_cost_no_listing_each(par2):
    faulty = FaultyBackend(MemoryBackend({f"{NAME}{number}": b"x" for number in range(5)}))
    backend = par2(faulty)
    for number in range(5):
        assert read(backend, f"{NAME}{number}") == b"x"
    assert faulty.count("list") == 1


def test_a_whole_object_is_read_without_its_recovery_blocks(par2):
    backend = par2()
    stored(backend)
    backend.inner = FaultyBackend(backend.inner)
    assert read(backend) == DATA
    assert [name for call, name in backend.inner.calls if call == "read"] == [f"{NAME}.par2", NAME]


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
def test_a_missing_object_is_made_anew_where_the_recovery_files_suffice(par2, caplog):
    backend = par2(par2_redundancy=100)
    del stored(backend)[NAME]
    assert [(info.name, info.size) for info in backend.list()] == [(NAME, len(DATA))]
    assert backend.stat(NAME).size == len(DATA)
    assert read(backend) == DATA
    assert f"'{NAME}' is missing at the target; it was mended" in caplog.text


def test_a_missing_object_that_they_cannot_make_is_not_there(par2):
    backend = par2()
    del stored(backend)[NAME]
    assert list(backend.list()) == []
    for call in (backend.stat, backend.read):
        with pytest.raises(NotFound):
            call(NAME)


def test_orphaned_recovery_files_cost_no_reads_in_a_listing(par2):
    backend = par2(par2_options=(), par2_redundancy=5)
    del stored(backend)[NAME]
    backend.inner = FaultyBackend(backend.inner)
    assert list(backend.list()) == []
    assert backend.inner.count("read") == 0


# -- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["delete", "delete_many"])
def test_a_deleted_object_takes_its_recovery_files_along_and_no_others(par2, way):
    backend = par2()
    stored(backend)
    kept = stored(backend, name=f"{NAME}.other").keys() - {NAME, f"{NAME}.par2", recovery_blocks(backend.inner.objects)}
    backend.delete(NAME) if way == "delete" else backend.delete_many([NAME, "not there"])
    assert backend.inner.objects.keys() == kept
    assert len(kept) == 3


def test_recovery_files_go_before_the_object_so_that_it_never_comes_back(par2):
    backend = par2()
    stored(backend)
    backend.inner = FaultyBackend(backend.inner, {"delete": [Transient("reset")]})
    with pytest.raises(Transient):
        backend.delete(NAME)
    assert backend.inner.inner.objects.keys() == {NAME}


def test_many_are_deleted_with_one_listing_and_one_bulk_delete(par2):
    backend = par2()
    names = [NAME.replace("vol1", f"vol{number}") for number in range(1, 4)]
    for name in names:
        stored(backend, name=name)
    backend.inner = FaultyBackend(backend.inner)
    backend.delete_many(names)
    assert [call for call, _ in backend.inner.calls] == ["list", "delete_many"]
    assert backend.inner.inner.objects == {}


# -- the rest of the protocol -----------------------------------------------------------------------------------------


def test_an_exclusive_put_makes_no_recovery_files_and_forgets_older_ones(par2):
    backend = par2()
    del stored(backend)[NAME]
    assert backend.put_new(NAME, BytesSource(b"lease"), Role.OWN)
    assert backend.inner.objects == {NAME: b"lease"}
    assert read(backend) == b"lease"


def test_cold_objects_are_asked_for_and_cold_recovery_files_count_as_none(par2):
    from tarragon.api import ColdObject

    faulty = FaultyBackend(MemoryBackend(), {"warm_up": [lambda inner, names: frozenset(names)]})
    backend = par2(faulty)
    backend.put(NAME, BytesSource(DATA), Role.VOLUME)
    assert backend.warm_up([NAME]) == {NAME}
    backend.inner = FaultyBackend(faulty.inner, {"read": [ColdObject("cold"), ColdObject("cold")]})
    list(backend.list())
    assert read(backend) == DATA


# -- the program ------------------------------------------------------------------------------------------------------


def test_a_backup_without_the_program_ends_before_anything_is_stored(par2, tmp_path):
    with pytest.raises(MissingPackage, match="needs the program 'par2'") as caught:
        par2(env={"PATH": str(tmp_path)}, action="full")
    assert "apt install par2" in caught.value.hint


def test_what_is_whole_is_read_without_the_program_and_what_is_not_says_what_is_missing(par2, tmp_path):
    inner = MemoryBackend()
    stored(par2(inner))
    poor = par2(inner, env={"PATH": str(tmp_path / "empty")}, action="restore")
    assert read(poor) == DATA
    inner.objects[NAME] = flipped(DATA, 3)
    with pytest.raises(MissingPackage):
        poor.read(NAME)


def test_no_secret_of_the_environment_reaches_the_program(par2, tmp_path):
    log, tool = tmp_path / "environment", tmp_path / "bin" / "par2"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nenv > {log}\nprintf "%s\\n" "$@" >> {log}\nexec /usr/bin/par2 "$@"\n')
    tool.chmod(0o755)
    env = {"PATH": f"{tool.parent}:/usr/bin:/bin", "PASSPHRASE": "canary", "FTP_PASSWORD": "canary"}
    stored(par2(env=env))
    assert "canary" not in log.read_text()
    assert "./" + NAME in log.read_text().split("\n")


# -- recovery files that lie ------------------------------------------------------------------------------------------


def made(par2, name, data=DATA):
    return {each: bytes(packed) for each, packed in stored(par2(), data, name).items()}


@pytest.mark.requirement("R36")
def test_recovery_files_of_another_name_never_reach_the_program(par2, tmp_path):
    """par2 writes to the names that stand in the recovery files, wherever these lie."""
    evil = made(par2, "evil")
    backend = par2(MemoryBackend({NAME: DATA, f"{NAME}.par2": evil["evil.par2"]}))
    assert read(backend) == DATA
    objects = stored(backend := par2())
    objects[recovery_blocks(objects)] += b"".join(evil[name] for name in evil if name != "evil")
    objects[NAME] = flipped(DATA, 3)
    of = protected(objects[f"{NAME}.par2"], NAME)
    with (tmp_path / "clean").open("w+b") as into:
        assert copy_whole(objects[recovery_blocks(objects)], of, into) == 10
        into.seek(0)
        assert {packet.set_id for packet in packets(into.read())} == {of.set_id}
    assert read(backend) == DATA


@pytest.mark.requirement("R40")
def test_any_bytes_are_read_as_packets_in_bounded_time():
    good = struct.Struct("<8sQ").pack(b"PAR2\0PKT", 1 << 20)
    endless = good * (1 << 17)  # 131,072 packets that each claim a mebibyte
    assert list(packets(endless)) == []
    assert protected(endless, NAME) is None
    for seed in range(200):
        pieces = random.Random(seed)
        data = b"".join(pieces.choice((b"PAR2\0PKT", pieces.randbytes(9), bytes(8), good)) for _ in range(60))
        assert list(packets(data)) == []
        assert protected(data, NAME) is None


@pytest.mark.requirement("R40")
def test_damaged_recovery_files_never_give_wrong_bytes(par2):
    backend = par2()
    whole = dict(stored(backend))
    for seed in range(12):
        dice = random.Random(seed)
        for name, data in whole.items():
            backend.inner.objects[name] = flipped(data, *(dice.randrange(len(data)) for _ in range(dice.randrange(9))))
        try:
            assert read(backend) in (DATA, backend.inner.objects[NAME])
        except IntegrityError:
            continue
