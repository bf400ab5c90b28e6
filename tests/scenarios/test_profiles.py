"""Profiles with the packages that know of them."""

from __future__ import annotations

import pytest
from sites import Site


@pytest.fixture
def profiled(site: Site) -> Site:
    folder = site.home.folder / "config" / "tarragon"
    folder.mkdir(parents=True)
    text = f'[profile.home]\nsource = "{site.source}"\ntarget = "{site.url}"\nselect = ["- {site.source}/folder"]\n'
    (folder / "config.toml").write_text(text + "[profile.home.options]\nencryption = false\n")
    return site


def test_explain_knows_what_a_profile_selects(profiled: Site) -> None:
    run = profiled.home.run
    answer = run(profiled.program, "@home", "explain", "folder/b", profiled.source / "a")
    assert answer.status == 0, answer
    assert f"{profiled.source}/folder/b is left out" in answer.text
    assert f"{profiled.source}/a is taken" in answer.text


def test_a_life_with_a_profile(profiled: Site) -> None:
    """Nothing but the profile and words of one action each."""
    run, program = profiled.home.run, profiled.program
    lines = "full|incremental|verify --compare-data|list-current-files|collection-status|cleanup|check|rehearse"
    lines += f"|prune --keep-last 1|remove-all-but-n-full 1|restore {profiled.out}"
    for line in lines.split("|"):
        answer = run(program, "@home", *line.split())
        assert answer.status == 0, answer
    assert sorted(path.name for path in profiled.out.iterdir()) == ["a", "z"]


def test_a_restore_is_not_filtered_by_what_a_backup_leaves_out(profiled: Site) -> None:
    assert profiled.backup().status == 0  # whole, without the profile
    assert profiled.home.run(profiled.program, "@home", "restore", profiled.out).status == 0
    assert (profiled.out / "folder" / "b").exists()


def test_under_the_name_of_duplicity_there_are_no_profiles(profiled: Site) -> None:
    command = profiled.program.command.replace("tarragon", "duplicity")
    answer = profiled.home.run(profiled.program._replace(command=command), "@home", "backup")
    assert answer.status == 23, answer
