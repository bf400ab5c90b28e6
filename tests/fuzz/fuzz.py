#!/usr/bin/env python3
"""Fuzz a parser for a while.

    fuzz.py TARGET|all [--seconds 600] [--seed N] [--blind]

Coverage-guided by Atheris where it can be imported, otherwise (or with ``--blind``) by mutating what the golden
repositories hold. Each target runs in a process of its own with a gigabyte of address space beyond what it starts
with. An input that fails is kept in ``corpus/TARGET/`` and its path printed; tests replay the corpus for ever.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent))

HERE = Path(__file__).resolve().parent
PER_INPUT_S = 5
ALLOWANCE = 1 << 30
INTERESTING = (b"\0", b"\xff", b"\n", b"/", b"..", b"\x80", b"0000000\0", b"7777777", b"-1", b"99999999999999999999")


def mutated(data: bytes, others: list[bytes], random: Random) -> bytes:
    """A few changes at random places."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        place = random.randint(0, len(found))
        kind = random.randrange(8)
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << random.randrange(8)
        elif kind == 1:
            found[place:place] = random.choice(INTERESTING)
        elif kind == 2:
            word = random.choice(INTERESTING)
            found[place : place + len(word)] = word
        elif kind == 3:
            del found[place : place + random.choice((1, 3, 100, 512))]
        elif kind == 4:
            found[place:place] = found[place : place + random.choice((1, 20, 512))]
        elif kind == 5:
            other = random.choice(others)
            start = random.randint(0, len(other))
            found[place:place] = other[start : start + random.choice((10, 512, 2048))]
        elif kind == 6:
            del found[place:]
        elif found:
            found[place % len(found)] = random.randrange(256)
    return bytes(found)


def keep(target: str, data: bytes) -> Path:
    """Put a finding into the corpus."""
    path = HERE / "corpus" / target / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def blind(target: str, seconds: float, seed: int) -> int:
    """Mutate the seeds until the time is over; the input at hand is on the disk in case the process dies."""
    import targets

    run, seeds, random = targets.TARGETS[target], targets.seeds(target), Random(seed)
    limit_memory()
    end, count = time.monotonic() + seconds, 0
    with tempfile.NamedTemporaryFile(prefix=f"fuzz-{target}-") as at_hand:
        while time.monotonic() < end:
            data = mutated(random.choice(seeds), seeds, random)
            if target in ("delta", "signature", "gzip"):  # C code below: the process may die
                at_hand.seek(0)
                at_hand.truncate()
                at_hand.write(data)
                at_hand.flush()
            signal.alarm(PER_INPUT_S)
            try:
                run(data)
            except BaseException:
                print(f"{target}: finding after {count} inputs, kept as {keep(target, data)}")
                raise
            finally:
                signal.alarm(0)
            count += 1
    print(f"{target}: {count} inputs, no finding")
    return 0


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWANCE, used + ALLOWANCE))


def guided(target: str, seconds: int, seed: int) -> int:
    """Hand over to Atheris; does not return."""
    import atheris

    with atheris.instrument_imports(include=["tarragon", "tarragon_gzip", "tarragon_gpg", "tarragon_librsync"]):
        import targets
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
    for number, data in enumerate(targets.seeds(target)):
        (corpus / str(number)).write_bytes(data)
    kept = HERE / "corpus" / target
    kept.mkdir(parents=True, exist_ok=True)
    words = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={PER_INPUT_S}", "-rss_limit_mb=1024"]
    words += ["-max_len=65536", f"-artifact_prefix={kept}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *words, str(corpus)], targets.TARGETS[target])
    atheris.Fuzz()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz a parser")
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without coverage, even if Atheris is here")
    options = parser.parse_args()
    if options.target == "all":
        import targets

        rest = ["--seconds", str(options.seconds), "--seed", str(options.seed), *(["--blind"] * options.blind)]
        wrong = [name for name in targets.TARGETS if subprocess.run([sys.executable, __file__, name, *rest]).returncode]
        print(f"findings in: {', '.join(wrong) or 'none'}")
        return 1 if wrong else 0
    if options.blind or importlib.util.find_spec("atheris") is None:
        return blind(options.target, options.seconds, options.seed)
    return guided(options.target, options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
