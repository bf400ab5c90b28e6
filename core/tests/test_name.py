"""Object names: what is recognised, what is written, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tarragon.api import BadOption, Role
from tarragon.volume.name import Names, ObjectName, Prefixes, SetTime

T, T2 = 1700000000, 1700000100
FULL, INC = SetTime("full", T, T), SetTime("inc", T, T2)
STAMP, STAMP2 = "20231114T221320Z", "20231114T221500Z"


def meaning(name: str, names: Names | None = None) -> tuple[object, ...] | None:
    found = (names or Names()).parse(name)
    return found and (found.role.value, found.of, found.number, found.partial, found.suffix)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"duplicity-full.{STAMP}.vol1.difftar.gz", ("volume", FULL, 1, False, ".gz")),
        ("duplicity-full.20231114t221320z.vol001.difftar.gpg", ("volume", FULL, 1, False, ".gpg")),
        (f"duplicity-full.{STAMP}.vol1.difftar", ("volume", FULL, 1, False, "")),
        (f"duplicity-full.{STAMP}.vol1.difftar.whatever", ("volume", FULL, 1, False, ".whatever")),
        (f"duplicity-full.{STAMP}.vol1.difftar.part", ("volume", FULL, 1, True, "")),
        (f"duplicity-inc.{STAMP}.to.{STAMP2}.vol12.difftar.gz", ("volume", INC, 12, False, ".gz")),
        (f"duplicity-inc.{STAMP}.to.{STAMP2}.vol1.difftar.part", ("volume", INC, 1, False, ".part")),
        (f"duplicity-full.{STAMP}.manifest", ("manifest", FULL, 0, False, "")),
        (f"duplicity-full.{STAMP}.manifest.part.gpg", ("manifest", FULL, 0, True, ".gpg")),
        (f"duplicity-inc.{STAMP}.to.{STAMP2}.manifest.gpg", ("manifest", INC, 0, False, ".gpg")),
        (f"duplicity-full-signatures.{STAMP}.sigtar.gz", ("signatures", FULL, 0, False, ".gz")),
        (f"duplicity-new-signatures.{STAMP}.to.{STAMP2}.sigtar.part", ("signatures", INC, 0, True, "")),
        (f"duplicity-inc.{STAMP}.to.{STAMP2}.jsonstat.p7m", ("stats", INC, 0, False, ".p7m")),
        (f"duplicity-full.{STAMP}.jsonstat.gz", ("stats", FULL, 0, False, ".gz")),
        ("df.s44we8.1.dt.z", ("volume", FULL, 1, False, ".z")),
        ("df.s44we8.0z.dt", ("volume", FULL, 35, False, "")),
        ("df.s44we8.m.p", ("manifest", FULL, 0, True, "")),
        ("dfs.s44we8.st.g", ("signatures", FULL, 0, False, ".g")),
        ("di.s44we8.s44x60.10.dt.gz", ("volume", SetTime("inc", T, T + 1000), 36, False, ".gz")),
        ("di.s44we8.s44x60.m", ("manifest", SetTime("inc", T, T + 1000), 0, False, "")),
        ("dns.s44we8.s44x60.st.z", ("signatures", SetTime("inc", T, T + 1000), 0, False, ".z")),
    ],
)
def test_a_name_of_the_grammar_means_what_the_format_says(name: str, expected: tuple[object, ...]) -> None:
    assert expected == meaning(name)


@pytest.mark.requirement("R36")
@pytest.mark.parametrize(
    "name",
    [
        "",
        f"duplicity-full.{STAMP}.vol1.difftar.gz.par2",
        f"duplicity-full.{STAMP}.manifest.vol0+2.par2",
        f"duplicity-full.{STAMP}.vol1.difftarx",
        f"duplicity-full.{STAMP}.vol0.difftar.gz",
        f"duplicity-full.{STAMP}.vol000.difftar.gz",
        f"duplicity-full.{STAMP}.vol.difftar.gz",
        f"duplicity-full.{STAMP}.vol٣.difftar.gz",
        f"duplicity-full.{STAMP}.vol{'1' * 5000}.difftar.gz",
        f"duplicity-full.{STAMP}.vol1.difftar.gz\n",
        f"duplicity-full.{STAMP}.vol1.difftar.a/b",
        f"duplicity-full.{STAMP}.to.{STAMP2}.manifest",
        f"duplicity-inc.{STAMP}.manifest",
        f"duplicity-full-signatures.{STAMP}.manifest",
        f"xduplicity-full.{STAMP}.manifest",
        f"Duplicity-full.{STAMP}.manifest",
        f"duplicity-full.{STAMP}.manifests",
        f"duplicity-full.{STAMP}",
        "duplicity-full.20239914T221320Z.manifest",
        "duplicity-full.20230229T000000Z.manifest",
        "duplicity-full.20231114T241320Z.manifest",
        "duplicity-full.19001231T235959Z.manifest",
        "duplicity-full.21000101T000000Z.manifest",
        "duplicity-full.２０231114T221320Z.manifest",
        "duplicity-full.2023-11-14T22:13:20+24:00.manifest",
        "duplicity-full.2023-11-14T22:13:20-01:60.manifest",
        "duplicity-full.2023-11-14T22:13:20.manifest",
        "df.S44WE8.m",
        "df.zzzzzzz.m",
        "df.s44we8.0.dt",
        "tarragon.sums.20231114T221320Z.json",
        "lockfile",
    ],
)
def test_a_name_that_almost_fits_is_not_ours(name: str) -> None:
    assert Names().parse(name) is None


@pytest.mark.parametrize(
    ("time", "separator", "expected"),
    [
        ("2023-11-14T22:13:20Z", ":", T),
        ("2023-11-14T22:13:20+02:00", ":", T - 7200),
        ("2023-11-14T22:13:20-01:30", ":", T + 5400),
        ("2023-11-15T00_13_20+02_00", "_", T),
        ("2023-11-14T22.13.20Z", ".", T),
        ("2023-11-14T22_13_20+02:00", "_", None),
        ("2023-11-14T22:13:20Z", "_", None),
        (STAMP, "_", T),
    ],
)
def test_an_old_time_is_read_with_its_offset_and_separator(time: str, separator: str, expected: int | None) -> None:
    found = Names(time_separator=separator).parse(f"duplicity-full.{time}.manifest")
    assert expected == (found and found.of.time)


def test_a_separator_of_two_characters_is_refused() -> None:
    with pytest.raises(BadOption):
        Names(time_separator="::")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (f"duplicity-full.{STAMP}.manifest.gpg", f"duplicity-full.{STAMP}.manifest"),
        (f"duplicity-full.{STAMP}.manifest.part", f"duplicity-full.{STAMP}.manifest"),
        (f"duplicity-full-signatures.{STAMP}.sigtar.part.gpg", f"duplicity-full-signatures.{STAMP}.sigtar"),
        ("dfs.s44we8.st.z", "dfs.s44we8.st"),
        ("dfs.s44we8.st.p", "dfs.s44we8.st"),
        (f"duplicity-full.{STAMP}.manifest", f"duplicity-full.{STAMP}.manifest"),
    ],
)
def test_the_stem_is_the_same_at_the_target_and_in_the_cache(name: str, stem: str) -> None:
    found = Names().parse(name)
    assert found
    assert stem == found.stem


@pytest.mark.parametrize(
    ("suffix", "encrypted", "compressed"),
    [(".gpg", True, False), (".g", True, False), (".p7m", True, False), (".gz", False, True), (".z", False, True)]
    + [("", False, False), (".tar", False, False), (".gz.gpg", True, False)],
)
def test_the_end_of_a_name_tells_its_codec(suffix: str, encrypted: bool, compressed: bool) -> None:
    found = Names().parse(Names().volume(FULL, 1, suffix))
    assert found
    assert (encrypted, compressed) == (found.encrypted, found.compressed)


@pytest.mark.requirement("R36")
def test_prefixes_are_compared_literally() -> None:
    names = Names(Prefixes(every="j+", manifest="m."))
    assert names.parse(f"j+m.duplicity-full.{STAMP}.manifest") is not None
    assert names.parse(f"jjm.duplicity-full.{STAMP}.manifest") is None
    assert names.parse(f"j+mxduplicity-full.{STAMP}.manifest") is None
    assert names.parse(f"duplicity-full.{STAMP}.manifest") is None


@pytest.mark.requirement("R36")
def test_two_repositories_in_one_folder_do_not_see_each_other() -> None:
    one, other = Names(Prefixes(every="a")), Names(Prefixes(every="ab"))
    assert one.parse(other.manifest(FULL)) is None
    assert other.parse(one.manifest(FULL)) is None


def test_the_names_of_golden_repositories_are_written_back_as_they_stand(golden_names: list[str]) -> None:
    names = Names()
    for name in golden_names:
        found = names.parse(name)
        assert found, name
        assert name == written(names, found)


@pytest.fixture
def golden_names() -> list[str]:
    from pathlib import Path

    golden = Path(__file__).parents[2] / "tests" / "golden"
    found = [p.name for p in golden.rglob("duplicity-*") if p.is_file() and p.suffix != ".par2"]
    modern = [name for name in found if "2023-" not in name]
    assert len(modern) > 100
    return modern


def written(names: Names, found: ObjectName) -> str:
    suffix = (".part" if found.partial else "") + found.suffix
    if found.role is Role.VOLUME:
        return names.volume(found.of, found.number, suffix)
    by_role = {Role.MANIFEST: names.manifest, Role.SIGNATURES: names.signatures, Role.STATS: names.stats}
    return by_role[found.role](found.of, suffix)


times = st.integers(-2177452800, 4102444799)
sets = st.builds(lambda t: SetTime("full", t, t), times) | st.builds(SetTime, st.just("inc"), times, times)
odd_prefixes = st.builds(
    Prefixes, *[st.sampled_from(["", "j+", ".", "a", "duplicity-", "df.", "(", "[a-z]*", "\\d", "$^", "ü", "-"])] * 5
)
suffixes = st.sampled_from(["", ".gz", ".gpg", ".p7m", ".g", ".z", ".gz.gpg"])


@given(
    prefixes=odd_prefixes,
    of=sets,
    role=st.sampled_from([Role.VOLUME, Role.MANIFEST, Role.SIGNATURES, Role.STATS]),
    number=st.integers(1, 999_999_999),
    suffix=suffixes,
    partial=st.booleans(),
)
def test_what_is_written_is_read_back(
    prefixes: Prefixes, of: SetTime, role: Role, number: int, suffix: str, partial: bool
) -> None:
    number, partial = (number, False) if role is Role.VOLUME else (0, partial)
    names = Names(prefixes)
    name = written(names, ObjectName("", role, of, number, partial, suffix))
    assert ObjectName(name, role, of, number, partial, suffix) == names.parse(name)


PIECES = st.sampled_from(
    [
        "duplicity-",
        "full",
        "inc",
        "-signatures",
        ".",
        "vol",
        "1",
        "0",
        "difftar",
        "manifest",
        "sigtar",
        "jsonstat",
        "to",
    ]
    + [
        "part",
        "gz",
        "gpg",
        STAMP,
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20+",
        "df.",
        "di.",
        "dns.",
        "m",
        "st",
        "zz",
    ]
    + ["99991399T999999Z", "00000000T000000Z", "9999-99-99T99:99:99-99:99", "\0", "٣", "\ud800", "\n"]
)


@pytest.mark.requirement("R40")
@given(st.text() | st.lists(PIECES, max_size=12).map("".join))
@example("9" * 100_000)
@example("duplicity-full." + "2023-11-14T22:13:20Z" * 5000)
@example("df." + "z" * 100_000 + ".m")
def test_any_string_is_a_name_or_is_not(name: str) -> None:
    found = Names().parse(name)
    assert found is None or (name == found.name and -2177452800 <= found.of.time <= 4102444799)
