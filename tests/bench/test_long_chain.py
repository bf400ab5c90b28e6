"""A short form of the measurement of long chains; bench.py has the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import Program

sys.path.insert(0, str(Path(__file__).parent))  # the bench is plain modules

import bench


@pytest.mark.requirement("R62")
def test_a_chain_of_many_increments_needs_few_open_files_and_no_more_memory(
    ours: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 increments under a limit of 64 open files, restored exactly; the long run has 500 under 128."""
    run = bench.Bench(tmp_path)
    try:
        bench.bench_chain(run, 40, open_files=64)
    finally:
        run.close()
    assert not run.is_wrong, capsys.readouterr().out
