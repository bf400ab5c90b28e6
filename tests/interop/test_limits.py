"""--limit-upload and --limit-download hold over real connections: nothing arrives sooner than the limit allows.

Only that is asserted, which no busy machine can break: the time from the first byte on the wire, which is before any
that the limit counts, to the end of the run is at least what all bytes of the objects take.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from programs import Household, Program
from sites import Site

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))

import servers_environment
from faulty_proxy import FaultyProxy
from server import running

pytestmark = pytest.mark.slow
LIMIT = 512  # KiB/s
SIZE = 800_000


class Wire(FaultyProxy):
    """Harms nothing, and remembers when the first byte came."""

    first = 0.0

    def _is_due(self, direction: str, size: int) -> bool:
        self.first = self.first or time.monotonic()
        return False


class Far(Site):
    """A site whose repository is behind a wire."""

    wire: Wire
    volumes: Callable[[], list[Path]]

    def seconds(self, action: str, *words: str | Path) -> float:
        """How long a run took from the first byte on."""
        self.wire.first = 0.0
        answer = self.run(action, "--volsize", "1", *words)
        assert answer.status == 0, answer
        assert self.wire.first
        return time.monotonic() - self.wire.first


@contextmanager
def s3(place: Path, ours: Program, home: Household) -> Iterator[Far]:
    with ExitStack() as stack:
        told = stack.enter_context(running("s3-rclone.sh", PATH=servers_environment.path()))
        wire = stack.enter_context(Wire(int(told["AWS_ENDPOINT_URL"].rpartition(":")[2])))
        bucket = Path(told["PLACE"], "data", "bucket")
        bucket.mkdir(parents=True)
        far = Far(place, ours, home)
        far.wire, far.volumes = wire, lambda: sorted(bucket.rglob("*.difftar.*"))
        far.url = "s3://bucket/host"
        far.options += ("--s3-endpoint-url", f"http://127.0.0.1:{wire.port}")
        keys = {name: told[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")}
        far.environment = keys | {"AWS_EC2_METADATA_DISABLED": "true"}
        yield far


@contextmanager
def sftp(place: Path, ours: Program, home: Household) -> Iterator[Far]:
    with running("sshd.sh") as told, Wire(int(told["TB_SSH_PORT"])) as wire:
        far = Far(place, ours, home)
        known = Path(told["TB_SSH_KNOWN_HOSTS"]).read_text().split(" ", 1)[1]
        (place / "known_hosts").write_text(f"[127.0.0.1]:{wire.port} {known}")
        words = (
            f"-oUserKnownHostsFile={place}/known_hosts -oGlobalKnownHostsFile=none -oIdentityFile={told['TB_SSH_KEY']}"
        )
        far.wire, far.volumes = wire, lambda: sorted(Path(told["TB_SSH_HOME"], "host").glob("*.difftar.*"))
        far.url = f"sftp://{told['TB_SSH_USER']}@127.0.0.1:{wire.port}/host"
        far.options += (f"--ssh-options={words} -oIdentityFile={told['TB_SSH_KEY']}",)
        yield far


@pytest.mark.parametrize("place_of", [s3, sftp], ids=["s3", "sftp"])
def test_nothing_passes_faster_than_the_limit_allows(
    place_of: Callable[[Path, Program, Household], AbstractContextManager[Far]],
    tmp_path: Path, ours: Program, home: Household,
) -> None:  # fmt: skip
    with place_of(tmp_path, ours, home) as far:
        far.write("file", Random(7).randbytes(SIZE))
        up = far.seconds("full", "--limit-upload", str(LIMIT), far.source, far.url)
        stored = sum(path.stat().st_size for path in far.volumes())
        assert stored > SIZE
        assert up >= stored / (LIMIT * 1024)
        home.forget()  # whatever is read comes over the wire
        down = far.seconds("restore", "--limit-download", str(LIMIT), far.url, far.out)
        assert down >= stored / (LIMIT * 1024)
        assert (far.out / "file").read_bytes() == (far.source / "file").read_bytes()
