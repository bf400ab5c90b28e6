"""Random trees and random edits of them, the same ones for the same seed.

Everything that docs/format.md § 3.4 can hold is made: files of awkward sizes, folders, symbolic links, fifos, device
nodes (as root), sockets (never stored), odd names. Edits keep to what duplicity can notice (docs/format.md § 6.1): new
content always comes with a new whole second of mtime, a link is never changed in its owner alone, a device never in
its time alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

IS_ROOT = os.geteuid() == 0
PART = 65536
NAMES = (
    b"a", b"b", b"b-", b"b.txt", b"B", b"Z", b"z", b"1", b"2", b"10", b"with space", b" lead", b"trail ",
    b"two  spaces", b"new\nline", b"tab\there", b"cr\rlf", b'q"uote', b"it's", b"back\\slash", b"\\x20",
    b"-dash", b"--option", b"*?[x]", b"%41", b"#hash", b"~", b"...", b".hidden", b"$HOME", b"`id`",
    b"caf\xc3\xa9", b"cafe\xcc\x81", b"latin1-\xe9\xff", b"\xff", b"\x01ctrl\x7f", b"\xc2\x85nel",
    b"\xc2\xa0nbsp", b"\xe2\x80\xa8ls", b"\xe6\x97\xa5\xe6\x9c\xac", b"snapshot", b"multivol_snapshot", b"diff",
    b"deleted", b"signature", b"name.1", b"x" * 99, b"y" * 101, b"n" * 255, b"long\xe9" * 40,
    b"\xf0\x9f\xa6\x94" * 30,
)  # fmt: skip
SIZES = (
    0, 0, 1, 2, 511, 512, 513, 1024, 4096, 10239, 10240, 65535, 65536, 65537, 131071, 131072, 131073, 196608, 262144,
    263168, 263169, 300000,
)  # fmt: skip
OWNERS = ((0, 0), (0, 0), (1, 1), (2, 12), (54321, 54321), (65534, 65534), (1000, 2), (3000000, 3000000))
MODES = (0o644, 0o600, 0o755, 0o444, 0o000, 0o777, 0o4755, 0o2750, 0o1644, 0o6555, 0o7777)
ODD_TIMES = (0, 1, -5, 2**31 + 7, 2**33 + 5)


class Tree:
    """A folder that lives: ``grow`` makes it, ``edit`` changes it a little.

    ``second`` runs on with every change of content, so that no two states of a file share a whole second. A tree of
    a user who is not root keeps to modes that its owner can read, and has no devices.
    """

    def __init__(self, root: Path, random: Random, *, big: int = 0) -> None:
        self.root = os.fsencode(root)
        self.random = random
        self.second = 1_600_000_000
        self.big = big

    # what there is

    def folders(self) -> list[bytes]:
        return [self.root] + [path for path in self.all() if stat.S_ISDIR(os.lstat(path).st_mode)]

    def files(self) -> list[bytes]:
        return [path for path in self.all() if stat.S_ISREG(os.lstat(path).st_mode)]

    def all(self) -> list[bytes]:
        found = []
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            found += [os.path.join(folder, name) for name in sorted(folders + files)]
        return found

    def free_path(self) -> bytes | None:
        """A path at which nothing stands yet, in a folder that is there; ``None`` when luck runs out."""
        for _ in range(20):
            folder = self.random.choice(self.folders())
            path = os.path.join(folder, self.random.choice(NAMES))
            if not os.path.lexists(path) and len(path) - len(self.root) < 900:
                return path
        return None

    # what can be made

    def content(self, size: int | None = None) -> bytes:
        if size is None:
            size = self.random.choice(SIZES)
            if size > 4096 and self.random.random() < 0.3:
                size += self.random.randint(-3, 3)
        kind = self.random.random()
        if kind < 0.6:
            return self.random.randbytes(size)
        if kind < 0.8:
            return (self.random.randbytes(37) * (size // 37 + 1))[:size]
        return b"\0" * size

    def dress(self, path: bytes, *, is_folder: bool = False) -> None:
        """Give a new entry a mode, an owner and a time."""
        mode = self.random.choice(MODES)
        if not IS_ROOT:
            mode |= 0o700 if is_folder else 0o400
        if IS_ROOT:
            os.chown(path, *self.random.choice(OWNERS))
        os.chmod(path, mode)
        self.touch(path)

    def touch(self, path: bytes) -> None:
        """A time that this entry has never had."""
        self.second += self.random.randint(1, 5000)
        fraction = self.random.choice((0, 0, 1, 500_000_000, 999_999_000))
        when = self.second * 10**9 + fraction
        if self.random.random() < 0.02:
            when = self.random.choice(ODD_TIMES) * 10**9
        os.utime(path, ns=(when, when))

    def write(self, path: bytes, data: bytes) -> None:
        was = os.lstat(path).st_mode if os.path.lexists(path) else None
        with open(path, "wb") as file:
            file.write(data)
        if was is not None:
            os.chmod(path, stat.S_IMODE(was))
        self.second += self.random.randint(1, 5000)
        os.utime(path, ns=(self.second * 10**9, self.second * 10**9 + self.random.randint(0, 10**8)))

    def make_file(self, path: bytes) -> None:
        self.write(path, self.content())
        self.dress(path)
        self.second += 1
        os.utime(path, (self.second, self.second))

    def make_big_file(self, path: bytes) -> None:
        self.write(path, self.random.randbytes(self.big + self.random.randint(-70000, 70000)))

    def make_folder(self, path: bytes) -> None:
        os.mkdir(path)
        for _ in range(self.random.randint(0, 4)):
            self.make_file(os.path.join(path, self.random.choice(NAMES)))
        self.dress(path, is_folder=True)

    def make_deep_folder(self, path: bytes) -> None:
        for _ in range(self.random.randint(2, 6)):
            os.mkdir(path)
            path = os.path.join(path, self.random.choice(NAMES[:40]))
        self.make_file(path)

    def make_link(self, path: bytes) -> None:
        self.second += 1
        target = self.random.choice(NAMES) + b"/" + str(self.second).encode()
        if self.random.random() < 0.2:
            target = b"../" * self.random.randint(1, 40) + target
        os.symlink(target, path)

    def make_fifo(self, path: bytes) -> None:
        os.mkfifo(path)
        self.dress(path)

    def make_device(self, path: bytes) -> None:
        if not IS_ROOT:
            return self.make_fifo(path)
        kind = self.random.choice((stat.S_IFCHR, stat.S_IFBLK))
        os.mknod(path, kind | 0o600, os.makedev(self.random.randint(0, 300), self.random.randint(0, 300)))
        os.utime(path, (1_500_000_000, 1_500_000_000))  # a device's time alone is not noticed: it stays the same
        return None

    def make_socket(self, path: bytes) -> None:
        if IS_ROOT:
            os.mknod(path, stat.S_IFSOCK | 0o600)
            return
        with socket.socket(socket.AF_UNIX) as end:
            if len(path) < 100:
                end.bind(path)

    def make_any(self, path: bytes) -> None:
        makers: list[Callable[[bytes], None]] = [self.make_file for _ in range(10)]
        makers += [self.make_folder, self.make_folder, self.make_folder, self.make_link, self.make_link]
        makers += [self.make_deep_folder, self.make_fifo, self.make_device, self.make_socket]
        if self.big:
            makers.append(self.make_big_file)
        self.random.choice(makers)(path)

    # what can happen

    def grow(self, count: int) -> None:
        """Make the first state."""
        os.makedirs(self.root)
        for _ in range(count):
            self.create()
        if self.big and (path := self.free_path()):
            self.make_big_file(path)

    def create(self) -> None:
        if path := self.free_path():
            self.make_any(path)

    def remove(self, path: bytes) -> None:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def delete(self) -> None:
        found = self.all()
        if len(found) > 5:
            self.remove(self.random.choice(found))

    def change_type(self) -> None:
        if found := self.all():
            path = self.random.choice(found)
            self.remove(path)
            self.make_any(path)

    def rename(self) -> None:
        found, free = self.all(), self.free_path()
        if found and free:
            path = self.random.choice(found)
            if not free.startswith(path + b"/"):
                os.rename(path, free)

    def change_content(self) -> None:
        """A file changes at a random place, grows, shrinks, empties, or is written anew."""
        if not (found := self.files()):
            return
        path = self.random.choice(found)
        with open(path, "rb") as file:
            data = file.read()
        place = self.random.randint(0, len(data))
        piece = self.random.randbytes(self.random.choice((1, 7, 512, 2000, 66000)))
        data = self.random.choice(
            (
                data[:place] + piece + data[place + len(piece) :],
                data[:place] + piece + data[place:],
                data + piece,
                data[:place],
                data[place:] + data[:place],
                b"",
                self.content(),
            )
        )
        self.write(path, data)

    def change_metadata(self) -> None:
        """A new mode, owner or time, and nothing else."""
        found = [path for path in self.all() if stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFREG, stat.S_IFDIR)]
        if not found:
            return
        path = self.random.choice(found)
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
        kind = self.random.choice(("mode", "owner", "time"))
        if kind == "mode":
            os.chmod(path, self.random.choice(MODES) | (0 if IS_ROOT else 0o700 if is_folder else 0o400))
        elif kind == "owner" and IS_ROOT:
            mode = stat.S_IMODE(os.lstat(path).st_mode)
            os.chown(path, *self.random.choice(OWNERS))
            os.chmod(path, mode)  # chown takes setuid away
        else:
            self.touch(path)

    def edit(self, count: int) -> None:
        """Let ``count`` things happen."""
        happenings = [self.create] * 4 + [self.change_content] * 6 + [self.change_metadata] * 3 + [self.delete] * 2
        happenings += [self.change_type, self.change_type, self.rename]
        for _ in range(count):
            self.random.choice(happenings)()
