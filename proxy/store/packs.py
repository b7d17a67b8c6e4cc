"""Packs: files of small bodies, of which those of one commit are written together.

A row costs a body of 10 kB two copies through the write-ahead log, page by page; in a pack it is
written once. Each body is in blocks of its own, with its id before it, so that those that no row
names are found after a kill. One that is removed becomes a hole, and a pack of nothing but holes
is unlinked, unless some process still writes to it. What is in a pack is never written over.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import re
import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec

from proxy.store.bodies import body_path, rename

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

BLOCK: Final = 4096
FEWEST: Final = 8  # bodies: fewer are rows, which read as fast and cost no block
SMALLEST: Final = 2048  # octets: below, a row takes less room than a block
_ENOUGH: Final = 8 * 2**20  # octets of a pack: one file for some 20 groups
_MOST_HEAD: Final = 256  # octets; the first says how many follow

_PREFIX: Final = "pack-"
_NAME: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{2,58}}")
_PLACE: Final = re.compile(rf"({_NAME.pattern})" + r" (\d{1,9})" * 3)
_NUMBERS: Final = itertools.count()
_PUNCH: Final = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE

_encode: Final = msgspec.msgpack.Encoder().encode
_Length = Annotated[int, msgspec.Meta(gt=0, lt=2**20)]
_decode: Final = msgspec.msgpack.Decoder(tuple[str, _Length]).decode


def _name_process() -> None:
    """Once, and again in each process that is forked from this one."""
    global _process  # noqa: PLW0603
    _process = secrets.token_hex(8)


_process: str
_name_process()
os.register_at_fork(after_in_child=_name_process)


class Place(NamedTuple):
    """Where a body is: ``head`` octets that say which it is, then ``length`` of its own."""

    pack: str
    start: int
    head: int
    length: int

    @property
    def room(self) -> int:
        """The octets that it takes."""
        return -(-(self.head + self.length) // BLOCK) * BLOCK

    @property
    def end(self) -> int:
        return self.start + self.room

    def __str__(self) -> str:
        return f"{self.pack} {self.start} {self.head} {self.length}"


def parse_place(text: object) -> Place | None:
    """What ``str`` made of a place; None if it is anything else."""
    found = _PLACE.fullmatch(text) if type(text) is str else None
    return found and Place(found[1], *map(int, found.groups()[1:]))


def is_pack(id_: str) -> bool:
    return id_.startswith(_PREFIX)


class Packs:
    """The pack that this process writes to, kept by a lock upon it. For one thread; blocks."""

    def __init__(self, folder: Path, new_path: Callable[[], str]) -> None:
        """``folder`` is that of the bodies, ``new_path`` names a file on its file system."""
        self._folder = folder
        self._new_path = new_path
        self._name = ""
        self._file: int | None = None
        self._end = self._before = 0

    def write(self, bodies: Sequence[tuple[str, bytes]]) -> list[Place]:
        """Where these bodies, given by id, are now. Raises OSError: they are nowhere."""
        if self._end >= _ENOUGH:
            self.close()
        file = self._begin() if self._file is None else self._file
        start = end = self._end
        pieces: list[bytes] = []
        places = []
        for id_, body in bodies:
            head = _headed(id_, len(body))
            place = Place(self._name, end, len(head), len(body))
            padding = bytes(place.room - place.head - place.length)
            pieces += (head, body, padding)
            places.append(place)
            end = place.end
        if os.pwritev(file, pieces, start) != end - start:
            os.ftruncate(file, start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._name)
        self._before, self._end = start, end
        return places

    def _begin(self) -> int:
        path = self._new_path()
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._name = f"{_PREFIX}{_process}{next(_NUMBERS):08x}"
            rename(path, body_path(self._folder, self._name))
        except OSError:
            os.close(file)
            raise
        self._file = file
        return file

    def undo(self) -> None:
        """What was written last will never be named by a row."""
        if self._file is not None:
            self._end = self._before
            os.ftruncate(self._file, self._end)

    def close(self) -> None:
        """The next body begins a new pack."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                _remove_if_empty(self._file, body_path(self._folder, self._name))
            os.close(self._file)
        self._file, self._end = None, 0


def read_named(folder: Path, place: Place, id_: str) -> bytes | None:
    """The octets there if they are of that body; None if they are not. Blocks. Raises OSError."""
    if not _NAME.fullmatch(place.pack):
        return None
    octets = _pread(folder, place.pack, place.head + place.length, place.start)
    if octets is None or octets[: place.head] != _headed(id_, place.length):
        return None
    return octets[place.head :]


def read(folder: Path, place: Place) -> bytes | None:
    """The octets there, perhaps those of a hole; None if the pack is gone. Blocks."""
    return _pread(folder, place.pack, place.length, place.start + place.head)


def _headed(id_: str, length: int) -> bytes:
    """What is before a body."""
    head = _encode((id_, length))
    return bytes((len(head),)) + head


def _pread(folder: Path, pack: str, size: int, start: int) -> bytes | None:
    try:
        file = os.open(body_path(folder, pack), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return os.pread(file, size, start)
    finally:
        os.close(file)


def unnamed(
    folder: Path, name: str, named: Callable[[list[str]], Container[Place | None]]
) -> list[Place] | None:
    """The bodies of which there is more than a hole, but for the places that ``named`` knows by id.

    None if there is nothing to give back, or a process still writes to the pack; an empty list
    if the pack is empty. What follows a damaged id is one body of no id. Blocks.
    """
    try:
        file = os.open(body_path(folder, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if not _lock(file):
            return None
        size = os.fstat(file).st_size
        start = _next_octets(file, 0)
        if start >= size:
            return []
        bodies: list[tuple[str, Place]] = []
        while start < size:
            bodies.append(_body(file, name, start))
            start = _next_octets(file, bodies[-1][1].end)
    finally:
        os.close(file)
    known = named([id_ for id_, _ in bodies])
    return [place for _, place in bodies if place not in known] or None


def punch(folder: Path, name: str, places: Sequence[Place]) -> None:
    """Give the room of these bodies back, and the pack when none is left in it. Blocks."""
    path = body_path(folder, name)
    with contextlib.suppress(OSError):  # what is left is found by the next search
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for start, end in _joined(places):
                _punch(file, start, end - start)
            _remove_if_empty(file, path)
        finally:
            os.close(file)


def _remove_if_empty(file: int, path: str) -> None:
    if _next_octets(file, 0) >= os.fstat(file).st_size and _lock(file):
        os.unlink(path)  # noqa: PTH108


def _lock(file: int) -> bool:
    """False while a process writes to the pack."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def usable(path: str) -> bool:
    """Whether a file there can have holes of one block. Blocks. Raises OSError."""
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, b"\1" * 2 * BLOCK)
        _punch(file, 0, BLOCK)
        return _next_octets(file, 0) == BLOCK
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        return False
    finally:
        os.close(file)
        os.unlink(path)  # noqa: PTH108


def _body(file: int, name: str, start: int) -> tuple[str, Place]:
    """The id and place of the body there."""
    octets = os.pread(file, _MOST_HEAD, start)
    head = 1 + octets[0]
    try:
        id_, length = _decode(octets[1:head])
    except msgspec.MsgspecError:
        return "", Place(name, start, 0, os.fstat(file).st_size - start)
    return id_, Place(name, start, head, length)


def _next_octets(file: int, offset: int) -> int:
    """Where, from ``offset``, the next octets are that are not a hole's; else beyond any file."""
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return sys.maxsize


def _joined(places: Sequence[Place]) -> Iterator[tuple[int, int]]:
    """Start and end of as few holes as possible."""
    start = end = 0
    for place in sorted(places):
        if place.start > end:
            if end > start:
                yield start, end
            start = place.start
        end = place.end
    if end > start:
        yield start, end


def _find_fallocate() -> ctypes._NamedFuncPointer | None:
    library = ctypes.CDLL(None, use_errno=True)
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found


_fallocate: Final = _find_fallocate()


def _punch(file: int, offset: int, length: int) -> None:
    if _fallocate is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    if _fallocate(file, _PUNCH, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
