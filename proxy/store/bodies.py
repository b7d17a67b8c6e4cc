"""Bodies at rest: where the file of a body is, and how it is opened, checked and read.

The checksum is CRC-32: it finds every flipped bit and burst, lets other damage or a swapped
file through once in four thousand million times, and costs 0.2 us for 10 kB where SHA-256 costs
5.8, both with the processor's help. It is there against damage; whoever could forge a file in this
folder could forge its record too. Files are read with pread and never mapped: a mapped file
that is cut short ends the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.store.base import BodyLost
from proxy.store.crc import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.policy.stored import StoredResponse
    from proxy.store.threads import Threads

# Up to here a body is a row of the database or part of a pack; above, a file of its own.
LARGEST_INLINE: Final = 32 * 1024

# Never through a symbolic link, and without waiting for who writes, if it is a pipe.
TO_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

# zlib gives the interpreter's lock up for more; the loop then waits for the writer's turn to end.
_WITHOUT_LOCK: Final = 5 * 1024

_NO_FILE: Final = frozenset({errno.ELOOP, errno.ENXIO})

_ID: Final = re.compile(r"[0-9a-z_-]{2,64}")
_PIECE: Final = 1024 * 1024
_THINNED: Final = 8 * 2**20
# Of opening and reading: that the body itself is gone, or cannot be read at its place.
_LOST: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EIO})
_MOST_VERIFIED: Final = 1 << 16  # files, each in a place by the hash of its id
# Linux reads from the page cache only, or refuses; elsewhere every read goes through a thread.
NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)


def check_id(id_: str) -> str:
    """``id_`` if it can name a file: 2-64 of ``0-9 a-z _ -``. Raises ValueError."""
    if not _ID.fullmatch(id_):
        raise ValueError(f"{id_!r} cannot name a body")
    return id_


def body_path(folder: Path, id_: str) -> str:
    """One of 256 folders by the end of the id: 1,000,000 bodies are 4,000 files in each."""
    return f"{folder}/{id_[-2:]}/{id_}"


def rename(source: str, target: str) -> None:
    """To the path of a body, whose folder may not be there yet, or be a link by now. Blocks."""
    folder = os.path.dirname(target)  # noqa: PTH120
    if os.path.islink(folder):  # noqa: PTH114
        os.unlink(folder)  # noqa: PTH108
    try:
        os.replace(source, target)  # noqa: PTH105
    except FileNotFoundError:
        Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(source, target)  # noqa: PTH105


def body_files(folder: Path) -> Iterator[list[str]]:
    """The ids of the body files, one folder at a time."""
    for part in sorted(folder.iterdir()):
        yield [entry.name for entry in os.scandir(part)]


def thin_out(folder: Path) -> int:
    """Remove some body files, the oldest of a few folders: a disk that is full has to have room

    before rows can be opened, and bodies that are missing are misses. The octets. Raises OSError.
    """
    found: list[tuple[float, int, str]] = []
    for part in sorted(folder.iterdir()) if folder.is_dir() else []:
        files = [entry for entry in os.scandir(part) if entry.is_file(follow_symlinks=False)]
        statuses = [(entry.stat(follow_symlinks=False), entry.path) for entry in files]
        found += [(s.st_mtime, s.st_blocks * 512, path) for s, path in statuses]
        if sum(octets for _, octets, _ in found) >= 4 * _THINNED:
            break
    freed = 0
    for _, octets, path in sorted(found):
        if freed >= _THINNED:
            break
        os.unlink(path)  # noqa: PTH108
        freed += octets
    return freed


def checksum(body: bytes, before: int = 0) -> int:
    if not _WITHOUT_LOCK < len(body) <= LARGEST_INLINE:
        return crc32(body, before)
    view = memoryview(body)
    for start in range(0, len(body), _WITHOUT_LOCK):
        before = crc32(view[start : start + _WITHOUT_LOCK], before)
    return before


def checksum_octets(crc: int) -> bytes:
    """The form of ``StoredResponse.checksum``."""
    return crc.to_bytes(4, "big")


def is_whole(stored: StoredResponse, body: bytes) -> bool:
    return len(body) == stored.length and checksum_octets(crc32(body)) == stored.checksum


class Descriptor:
    """An open file that closes with its last user.

    A read may still run in a thread when its body is closed; were the number closed under it,
    it would read, or write, whatever file gets that number next.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self.number, size, offset)


def open_file(folder: Path, id_: str) -> Descriptor:
    """The file of a body. Blocks. Raises OSError, ValueError for what cannot name one.

    What is no file is not found.
    """
    path = body_path(folder, check_id(id_))
    try:
        file = Descriptor(os.open(path, TO_READ))
    except OSError as error:
        if error.errno in _NO_FILE:
            raise FileNotFoundError(errno.ENOENT, error.strerror, path) from error
        raise
    if not stat.S_ISREG(os.fstat(file.number).st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a file", path)
    return file


async def read_at(file: Descriptor, size: int, offset: int, threads: Threads) -> bytes:
    """At most ``size`` octets: on the loop when they are in the page cache. Raises OSError."""
    if NOWAIT is not None:
        buffer = bytearray(size)
        try:
            count = os.preadv(file.number, [buffer], offset, NOWAIT)
        except OSError:  # BlockingIOError, or a file system without RWF_NOWAIT
            return await threads.run(file.pread, size, offset)
        del buffer[count:]
        return bytes(buffer)
    return await threads.run(file.pread, size, offset)


class InlineBody:
    """A ``StoredBody`` whose octets are in memory."""

    __slots__ = ("_octets", "length")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def fileno(self) -> int | None:
        return None

    async def read_at(self, offset: int, size: int) -> bytes:
        return self._octets[offset : offset + size]

    def close(self) -> None:
        self._octets = b""


class FileBody:
    """A ``StoredBody`` that is a file; it stays readable when the file is removed."""

    __slots__ = ("_file", "_threads", "length")

    def __init__(self, file: Descriptor, length: int, threads: Threads) -> None:
        self._file: Descriptor | None = file
        self._threads = threads
        self.length = length

    def fileno(self) -> int | None:
        return None if self._file is None else self._file.number

    async def read_at(self, offset: int, size: int) -> bytes:
        wanted = min(size, self.length - offset)
        if self._file is None or wanted <= 0:
            return b""
        try:
            octets = await read_at(self._file, wanted, offset, self._threads)
        except OSError as error:
            raise BodyLost(str(error)) from error
        if not octets:
            raise BodyLost(f"cut short at {offset} of {self.length} octets")
        return octets

    def close(self) -> None:
        self._file = None


class Verifier:
    """Opens body files; each is read through once, and again whenever it has changed since."""

    __slots__ = ("_folder", "_ids", "_seen")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Hashes: what takes the place of another is read once more.
        self._ids = array("q", bytes(8 * _MOST_VERIFIED))
        self._seen = array("q", bytes(8 * _MOST_VERIFIED))

    def open(self, stored: StoredResponse) -> Descriptor:
        """Blocks. Raises BodyLost when it is missing, cut, swapped or damaged, else OSError."""
        try:
            return self._open(stored)
        except OSError as error:
            # Not where there are too many open files, or no memory: it is still stored.
            if error.errno in _LOST:
                raise BodyLost(str(error)) from error
            raise

    def _open(self, stored: StoredResponse) -> Descriptor:
        file = open_file(self._folder, stored.id)
        seen = _identity(os.fstat(file.number))
        if seen[0] != stored.length:
            raise BodyLost(f"{seen[0]} octets instead of {stored.length}")
        if self._seen[hash(stored.id) % _MOST_VERIFIED] != hash((stored.id, seen)):
            if checksum_octets(_checksum_of_file(file)) != stored.checksum:
                raise BodyLost("its checksum differs")
            self._remember(stored.id, seen)
        return file

    def is_verified(self, stored: StoredResponse) -> bool:
        """Whether ``open`` will not have to read it, as far as is known without looking."""
        place = hash(stored.id)
        return self._ids[place % _MOST_VERIFIED] == place

    def wrote(self, id_: str) -> None:
        """The file was just written by us, its checksum counted on the way."""
        with contextlib.suppress(OSError):  # another process may have removed it already
            status = os.stat(body_path(self._folder, id_))  # noqa: PTH116
            self._remember(id_, _identity(status))

    def _remember(self, id_: str, seen: tuple[int, int, int]) -> None:
        place = hash(id_)
        self._ids[place % _MOST_VERIFIED] = place
        self._seen[place % _MOST_VERIFIED] = hash((id_, seen))


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return (status.st_size, status.st_mtime_ns, status.st_ino)


def _checksum_of_file(file: Descriptor) -> int:
    crc, offset = 0, 0
    while piece := file.pread(_PIECE, offset):
        crc = crc32(piece, crc)
        offset += len(piece)
    return crc
