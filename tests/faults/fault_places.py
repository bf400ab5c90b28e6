"""Places to back up to, each with faults between: servers behind proxies, and folders behind the preload shim."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from secrets import token_hex

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # plain modules, all of them
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kill"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import preload
import servers_environment
from fault_proxy import Elsewhere, HttpFaults, TcpFaults
from programs import Household, Program
from server import running
from stage import Ended, Mode, Stage, Wrong

#: Tries are quick and plenty, for faults are too; what hangs is given up after the timeout.
QUICK = ("--num-retries", "6", "--backend-retry-delay", "0", "--timeout", "3")
#: What the shim does to a call: (act, error), and on which operations of the target. A short write is no error at all.
_ACTS = (("fail", errno.EIO), ("late", errno.EIO), ("short", 0), ("fail", errno.ESTALE), ("fail", errno.ENOSPC))


class Place(Stage):
    """A stage whose target has faults between. ``done`` counts them by kind."""

    kind = ""
    options_of_target: tuple[str, ...] = ()

    def __init__(self, home: Household, ours: Program, random: Random) -> None:
        super().__init__(home, ours, ours, "plain")
        self.random = random
        self.done: Counter[str] = Counter()
        self.secrets: tuple[str, ...] = ()
        self.stolen: list[bytes] = []
        self.place.mkdir()
        self.mode = Mode(("--no-encryption", *QUICK), {})

    @contextmanager
    def opened(self) -> Iterator[Place]:
        """The place, with its server running."""
        yield self

    def arm(self, most: int) -> dict[str, str]:
        """Let the next run meet at most so many faults; the environment that it needs."""
        raise NotImplementedError

    def disarm(self) -> None:
        """Count what the run has met, and let everything pass."""

    def progress(self) -> int:
        """Bytes that have gone up since the place was armed."""
        raise NotImplementedError

    def recorded(self) -> int:
        """How many volumes of the set under way the journal names: each is at the target, or the journal lies."""
        count = 0
        for path in (self.home.folder / "state" / "tarragon").glob("*/journal.jsonl"):
            with suppress(OSError):
                lines = path.read_bytes().splitlines(keepends=True)
                count += sum(len(json.loads(line).get("volumes", ())) for line in lines if line.endswith(b"\n"))
        return count

    def is_committing(self) -> bool:
        """Whether the set under way had all but its manifest at the target, by the journal."""
        journals = (self.home.folder / "state" / "tarragon").glob("*/journal.jsonl")
        return any(b'"commit":' in path.read_bytes() for path in journals)

    def killed(self, most: int, *words: str | Path) -> tuple[Ended, bool]:
        """A run that is killed some bytes after some volume was recorded; whether it lived until then."""
        env = self.arm(most)
        volumes, more = self.random.randint(1, 3), self.random.randrange(900_000)
        at: int | None = None
        out = self.home.folder / "out.txt"
        with out.open("wb") as sink:
            process = subprocess.Popen(
                (self.ours.command, *map(str, words)), env=self.home.environment() | self.mode.environment | env,
                cwd=self.place, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            until = time.monotonic() + 240
            while process.poll() is None and (at is None or self.progress() < at):
                if at is None and self.recorded() >= volumes:
                    at = self.progress() + more
                time.sleep(0.01)
                if time.monotonic() > until:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise Wrong("stuck", f"no end after 240 s: {words}")
            was_killed = process.poll() is None
            if was_killed:
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        self.disarm()
        text = out.read_bytes().decode("utf-8", "backslashreplace")
        return Ended(tuple(map(str, words)), status, text, 0.0), was_killed

    def faulted(self, most: int, *words: str | Path) -> Ended:
        """A run with faults."""
        try:
            return self.run(*words, env=self.arm(most))
        finally:
            self.disarm()


class Folders(Place):
    """A target in folders of this machine; faults are calls of the system that fail (tests/kill/shim.c)."""

    kind = "file"

    def __init__(self, home: Household, ours: Program, random: Random) -> None:
        super().__init__(home, ours, random)
        self.shim = preload.Shim(home.folder, {"target": self.place / "repo"})

    def arm(self, most: int) -> dict[str, str]:
        self._before = self._size()
        act, error = self.random.choice(_ACTS)
        ops = "target.write" if act == "short" else "target.*,target.look,target.read"
        self._armed = act if not error else f"{act} {errno.errorcode[error]}"
        at = self.random.randint(1, 60) if most else 0
        return self.shim.armed(at, act, ops, error=error, until=at + self.random.randrange(most) if most else None)

    def disarm(self) -> None:
        self.done[self._armed] += sum(call.is_hit for call in self.shim.calls())

    def _size(self) -> int:
        repo = self.place / "repo"
        sizes = 0
        for path in repo.rglob("*") if repo.exists() else ():
            try:
                sizes += path.stat().st_size
            except OSError:
                continue
        return sizes

    def progress(self) -> int:
        return self._size() - self._before


class Par2(Folders):
    kind = "par2+file"

    @property
    def url(self) -> str:
        return f"par2+file://{self.repo}"


class Multi(Folders):
    """Two folders, striped or mirrored."""

    kind = "multi"

    def __init__(self, home: Household, ours: Program, random: Random) -> None:
        super().__init__(home, ours, random)
        self.how = random.choice(("stripe", "mirror"))
        self.repo.mkdir()
        stores = [{"url": f"file://{self.repo}/{name}"} for name in ("one", "two")]
        (self.place / "multi.json").write_text(json.dumps(stores))

    @property
    def url(self) -> str:
        return f"multi://{self.place}/multi.json?mode={self.how}&onfail=abort"


class Xorriso(Folders):
    """An image in a folder, which the program xorriso writes and reads."""

    kind = "xorriso"

    def __init__(self, home: Household, ours: Program, random: Random) -> None:
        super().__init__(home, ours, random)
        self.repo.mkdir()
        (self.repo / "image.iso").touch()
        # A call is a run of the program, which is silent until it ends, and which may outlive a run that is killed.
        self.mode = Mode(("--no-encryption", *QUICK, "--timeout", "30", "--backend-retry-delay", "1"), {})

    @property
    def url(self) -> str:
        return f"xorriso://{self.repo}/image.iso:/backup"


class Sftp(Place):
    """An OpenSSH server behind a TCP proxy."""

    kind = "sftp"

    @contextmanager
    def opened(self) -> Iterator[Place]:
        with running("sshd.sh") as told, TcpFaults(int(told["TB_SSH_PORT"]), self.random) as self.proxy:
            self.proxy.is_on = False
            known = Path(told["TB_SSH_KNOWN_HOSTS"]).read_text().split(" ", 1)[1]
            hosts = self.home.folder / "known_hosts"
            hosts.write_text(f"[127.0.0.1]:{self.proxy.port} {known}")
            words = (
                f"-oUserKnownHostsFile={hosts} -oGlobalKnownHostsFile=none -F none -oIdentityFile={told['TB_SSH_KEY']}"
            )
            self.mode = Mode(("--no-encryption", *QUICK, f"--ssh-options={words}"), {})
            self._url = f"sftp://{told['TB_SSH_USER']}@127.0.0.1:{self.proxy.port}/{token_hex(6)}"
            self.secrets = (told["TB_SSH_PASSWORD"],)
            yield self

    @property
    def url(self) -> str:
        return self._url

    def arm(self, most: int) -> dict[str, str]:
        self.proxy.done, self.proxy.most, self.proxy.is_on, self.proxy.sent = Counter(), most, True, 0
        return {}

    def disarm(self) -> None:
        self.proxy.is_on = False
        self.done += self.proxy.done
        self.proxy.hang_up()

    def progress(self) -> int:
        return self.proxy.sent


class S3(Place):
    """rclone's S3 service behind a proxy that knows HTTP, and another behind it that knows TCP."""

    kind = "s3"

    @contextmanager
    def opened(self) -> Iterator[Place]:
        with ExitStack() as stack:
            told = stack.enter_context(running("s3-rclone.sh", PATH=servers_environment.path()))
            port = int(told["AWS_ENDPOINT_URL"].rpartition(":")[2])
            elsewhere = Elsewhere()
            stack.callback(elsewhere.close)
            self.stolen = elsewhere.got
            self.proxy = stack.enter_context(HttpFaults(port, self.random, elsewhere=elsewhere.url))
            self.tcp = stack.enter_context(TcpFaults(self.proxy.port, self.random, rate=0.1, most=1))
            self.proxy.is_on = self.tcp.is_on = False
            bucket = "b" + token_hex(6)
            (Path(told["PLACE"]) / "data" / bucket).mkdir(parents=True)
            keys = {name: told[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
            self.secrets = tuple(keys.values())
            endpoint = ("--s3-endpoint-url", f"http://127.0.0.1:{self.tcp.port}")
            self.mode = Mode(("--no-encryption", *QUICK, *endpoint), keys | {"AWS_EC2_METADATA_DISABLED": "true"})
            self._url = f"s3://{bucket}/backup"
            yield self

    @property
    def url(self) -> str:
        return self._url

    def arm(self, most: int) -> dict[str, str]:
        self.proxy.done, self.proxy.most, self.proxy.is_on, self.proxy.sent = Counter(), most, True, 0
        self.tcp.done, self.tcp.is_on = Counter(), True
        return {}

    def disarm(self) -> None:
        self.proxy.is_on = self.tcp.is_on = False
        self.done += self.proxy.done
        self.done += Counter({f"tcp {kind}": count for kind, count in self.tcp.done.items()})
        self.tcp.hang_up()

    def progress(self) -> int:
        return self.proxy.sent


PLACES: dict[str, type[Place]] = {each.kind: each for each in (Folders, Par2, Multi, S3, Sftp, Xorriso)}


def missing(kind: str) -> str:
    """Why a kind of place cannot be used here; "" when it can."""
    needs = {"file": ("cc",), "par2+file": ("cc", "par2"), "multi": ("cc",), "xorriso": ("cc", "xorriso"),
             "sftp": ("sshd",), "s3": ("rclone",)}[kind]  # fmt: skip
    path = f"{servers_environment.path()}:/usr/sbin"
    schemes = {point.name for group in ("backend", "wrapper") for point in entry_points(group=f"tarragon.{group}")}
    if not set(kind.split("+")) <= schemes:
        return f"no package for {kind} is installed"
    return next((f"the program {name} is not installed" for name in needs if shutil.which(name, path=path) is None), "")
