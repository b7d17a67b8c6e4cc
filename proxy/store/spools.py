"""Bodies on their way into the store: memory first, then a file in this process's spool folder.

``spool/<number>/`` belongs to whoever holds the lock of its ``lock`` file; a folder whose lock
is free was left behind and is emptied at the next start. In that file is a mark, which whoever
ends in order takes out: where it is still in a free one, a process was killed. A body of up to
256 KiB stays in memory until it is stored. Room for a larger one is asked for before it is
written, a part at a time, so that the folder stays within its size while fills are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import threading
from typing import TYPE_CHECKING, Final, Protocol

from proxy.store import aside, mapped
from proxy.store.base import StoreFailed, TooLarge
from proxy.store.bodies import Descriptor, checksum, read_at
from proxy.store.disk import is_full
from proxy.store.generations import MOST_PROCESSES
from proxy.store.rawdisk import SpooledBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

    from proxy.store.generations import Generations
    from proxy.store.threads import Threads

LARGEST_IN_MEMORY: Final = 256 * 1024

SPOOL: Final = "spool"

_TRIES: Final = 3  # as others may take the room
# Seconds that a fill, and whoever reads along, waits for room: a process that is stopped inside a
# transaction keeps all others from making any.
_PATIENCE: Final = 2.0
_LOCK: Final = "lock"
_MARK: Final = b"1"


class SpoolFolder:
    """The one folder of this process, and how many octets its files have been promised.

    ``search_due``: somebody was killed, so that there may be bodies that no row names. If that
    stays true until ``close`` it is for the next process. ``alone``: none other has the folder.
    """

    def __init__(self, root: Path, generations: Generations) -> None:
        """Claim the first free folder and empty every other free one. Blocks. Raises OSError."""
        self._generations = generations
        self._counting = threading.Lock()
        self._names = itertools.count()
        self.promised = 0
        self.search_due = False
        self._root = root
        self._open()
        with _given_up(self._lock):
            self.empty_left_behind()

    def _open(self) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._number, self._lock = self._claim()
        self._folder = self._root / str(self._number)

    @property
    def is_replaced(self) -> bool:
        """Whether another file, or none, is in the place of the lock. Blocks."""
        status = os.fstat(self._lock)
        return mapped.identity(self._folder / _LOCK) != (status.st_dev, status.st_ino)

    def reopen(self) -> None:
        """Claim another folder. Raises OSError. The caller holds the folder's lock."""
        self._generations.set_in_flight(self._number, 0)
        lock = self._lock
        self._open()
        os.close(lock)
        self.promise(0)

    def _claim(self) -> tuple[int, int]:
        for number in range(MOST_PROCESSES):
            folder = self._root / str(number)
            if (lock := _try_lock(folder)) is not None:
                with _given_up(lock):
                    self._empty(number, lock)
                    os.pwrite(lock, _MARK, 0)
                    os.fsync(lock)
                return number, lock
        raise BlockingIOError(f"{MOST_PROCESSES} processes share this folder already")

    def empty_left_behind(self) -> None:
        """What other processes left that have died since."""
        self.alone = True
        for number in range(MOST_PROCESSES):
            folder = self._root / str(number)
            if number == self._number:
                continue
            if not folder.exists():
                self._generations.set_in_flight(number, 0)
                continue
            if (lock := _try_lock(folder)) is None:
                self.alone = False
                continue
            with _given_up(lock):
                self._empty(number, lock)
                os.ftruncate(lock, 0)  # our own mark stands for it
            os.close(lock)

    def _empty(self, number: int, lock: int) -> None:
        if os.fstat(lock).st_size:
            self.search_due = True
        _empty(self._root / str(number))
        self._generations.set_in_flight(number, 0)

    def new_path(self) -> str:
        return f"{self._folder}/{next(self._names)}"

    def promise(self, octets: int) -> None:
        """More (or fewer) octets for files of this process; seen by all processes."""
        with self._counting:
            self.promised += octets
            self._generations.set_in_flight(self._number, self.promised)

    def close(self) -> None:
        try:
            _empty(self._folder)
            self.promise(-self.promised)
            if not self.search_due:
                os.ftruncate(self._lock, 0)
        finally:
            os.close(self._lock)


class Rooms(Protocol):
    """Where a spool asks for room on disk."""

    def make_room(self) -> Awaitable[None]:
        """Until what was promised fits. Raises StoreFailed."""

    def relieve(self, octets: int, error: OSError) -> Awaitable[None]:
        """The disk was full for a body of so many: until there may be room. Raises StoreFailed."""

    def disk_failed(self, error: OSError) -> StoreFailed:
        """Takes note of a failed write."""


class SpoolFile:
    """A ``Spool``: the first 256 KiB, and later the last octets, are in memory."""

    def __init__(self, folder: SpoolFolder, threads: Threads, rooms: Rooms, limits: Limits) -> None:
        self._folder = folder
        self._threads = threads
        self._rooms = rooms
        self._limits = limits
        self._tail = bytearray()
        self._written = 0
        self._promised = 0
        self._file: Descriptor | None = None
        self._over = False
        self._path: str | None = None
        self.length = 0
        self.crc = 0

    async def append(self, chunk: bytes) -> None:
        if self._over:
            raise StoreFailed("abandoned")
        if self.length + len(chunk) > self._limits.largest:
            raise TooLarge(f"more than {self._limits.largest} octets")
        self._tail += chunk
        self.length += len(chunk)
        if len(self._tail) > LARGEST_IN_MEMORY:
            try:
                await self._flush()
            except StoreFailed:
                del self._tail[-len(chunk) :]
                self.length -= len(chunk)
                raise

    async def read_at(self, offset: int, size: int) -> bytes:
        if offset >= self._written or self._file is None:
            start = offset - self._written
            return bytes(self._tail[start : start + size])
        wanted = min(size, self._written - offset)
        try:
            return await read_at(self._file, wanted, offset, self._threads)
        except OSError as error:
            raise StoreFailed(str(error)) from error

    async def whole(self) -> bytes | SpooledBody:
        """All octets, if they are in memory, or the file that has all of them now."""
        if self._path is None:
            return bytes(self._tail)
        if self._tail:
            await self._flush()
        return SpooledBody(self._path, self.length, self._promised)

    def adopted(self) -> None:
        """The file has been renamed away, and the promise has become its size."""
        self._path = None
        self._promised = 0

    def abandon(self) -> None:
        self._over = True
        self._give_back()
        if self._path is not None:
            self._threads.start(unlink, self._path)
            self._path = None

    async def _flush(self) -> None:
        octets = bytes(self._tail)
        if self._promised < self._written + len(octets):
            await self._ask_for_room(len(octets))
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._write(octets)
                break
            except OSError as error:
                if not (tries_left and is_full(error)):
                    raise self._rooms.disk_failed(error) from error
                await self._rooms.relieve(self._written + len(octets), error)
        self._written += len(octets)
        del self._tail[: len(octets)]

    async def _write(self, octets: bytes) -> None:
        if self._file is None:
            self._path = self._folder.new_path()
            self._file = await self._threads.run(self._create, self._path)
        self.crc = await self._threads.run(_write, self._file, octets, self._written, self.crc)

    def _create(self, path: str) -> Descriptor:
        file = _create(path)
        if self._over:  # abandoned meanwhile: the removal may have come before the file
            unlink(path)
        return file

    async def _ask_for_room(self, octets: int) -> None:
        part = max(octets, self._limits.part)
        if self._over or self._folder.promised + part > self._limits.in_flight:
            raise StoreFailed("other bodies on their way in have taken the room")
        self._promised += part
        self._folder.promise(part)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._rooms.make_room()
        except TimeoutError:
            raise StoreFailed("it takes too long to make room") from None

    def _give_back(self) -> None:
        self._folder.promise(-self._promised)
        self._promised = 0


class Limits:
    """In octets: the largest body, what is promised at a time, and to all fills together."""

    __slots__ = ("in_flight", "largest", "part")

    def __init__(self, largest: int, max_size: int) -> None:
        self.largest = largest
        self.part = max(LARGEST_IN_MEMORY, max_size // 1024)
        self.in_flight = max_size * 5 // 8


def _try_lock(folder: Path, mode: int = os.O_CREAT | os.O_RDWR) -> int | None:
    if mode & os.O_CREAT:
        folder.mkdir(mode=0o700, exist_ok=True)
        aside.require_files([folder / _LOCK])
    lock = os.open(folder / _LOCK, mode | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    with _given_up(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
    return lock


@contextlib.contextmanager
def _given_up(lock: int) -> Iterator[None]:
    """If what is done with it fails: else nobody in this process could ever claim it again."""
    try:
        yield
    except BaseException:
        os.close(lock)
        raise


def left_behind(root: Path) -> Iterator[int]:
    """The octets of each file in folders whose process is dead. Changes nothing; blocks."""
    for number in range(MOST_PROCESSES):
        folder = root / str(number)
        with contextlib.suppress(FileNotFoundError):
            if (lock := _try_lock(folder, os.O_RDONLY)) is None:
                continue
            try:
                found = [entry.stat() for entry in os.scandir(folder) if entry.name != _LOCK]
            finally:
                os.close(lock)
            yield from (status.st_blocks * 512 for status in found)


def _empty(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.name != _LOCK:
            aside.remove(path)


def unlink(path: str) -> None:
    """Remove the file, if it is there and can be: else the next start does. Blocks."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a str path, as diskcache's are


def _create(path: str) -> Descriptor:
    return Descriptor(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _write(file: Descriptor, octets: bytes, offset: int, crc: int) -> int:
    rest = memoryview(octets)
    while rest:
        count = os.pwrite(file.number, rest, offset)
        offset += count
        rest = rest[count:]
    return checksum(octets, crc)


def write_file(path: str, octets: bytes) -> None:
    """A new file with all of these octets, or none. Blocks. Raises OSError."""
    try:
        _write(_create(path), octets, 0, 0)
    except BaseException:
        unlink(path)
        raise
