"""Run a program and measure it: time, and the peak memory of it and all its children together.

Memory is the sum of the proportional set sizes of the whole process group, sampled ten times a second: pages that
workers share count once.
"""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """What one run cost."""

    status: int
    wall_s: float
    cpu_s: float
    peak: int
    text: str


def group_memory(group: int) -> int:
    """Bytes that the processes of a process group hold together."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) != group:
                continue
            rollup = (entry / "smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def measure(
    words: list[str], env: dict[str, str], *, open_files: int | None = None, cwd: Path | None = None
) -> Measured:
    """Run ``words`` in a process group of its own; with ``open_files`` under that limit."""

    def limit() -> None:
        if open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    running = subprocess.Popen(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        preexec_fn=limit,
    )
    peak, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], group_memory(running.pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    out, _ = running.communicate()
    wall_s = time.monotonic() - began
    ended.set()
    sampler.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    text = out.decode("utf-8", "replace")
    return Measured(running.returncode, wall_s, cpu_s, peak[0], text)
