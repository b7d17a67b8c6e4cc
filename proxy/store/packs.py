"""Packs: files of small bodies, of which those of one commit are written together.

A row costs a body of 10 kB two copies through the write-ahead log, page by page; in a pack it is
written once, and read with one call. Each body is in blocks of its own, with its id before it, so
that those that no row names are found after a kill, and behind it the record as it was then, so
that one read can bring both. One that is removed becomes a hole, and a pack of nothing but holes is
unlinked, unless some process still writes to it. What is in a pack is never written over.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import stat
import sys
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec

from proxy.store.bodies import TO_READ, body_path, open_file, rename

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

    from proxy.store.bodies import Descriptor

BLOCK: Final = 4096
SMALLEST: Final = 2048  # octets: below, a row takes less room than a block
_ENOUGH: Final = 32 * 2**20  # octets of a pack: 400 files for 1,000,000 bodies of 10 kB
_MOST_HEAD: Final = 256  # octets; the first says how many follow

_PREFIX: Final = "pack-"
_NAME: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{2,58}}")
_PLACE: Final = re.compile(rf"({_NAME.pattern})" + r" (\d{1,9})" * 3 + r"(?: (\d{1,9}))?")
_PUNCH: Final = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE

_encode: Final = msgspec.msgpack.Encoder().encode


class _Head(msgspec.Struct, array_like=True, gc=False):
    id: str
    length: Annotated[int, msgspec.Meta(gt=0, lt=2**20)]
    tail: Annotated[int, msgspec.Meta(ge=0, lt=2**20)] = 0


_decode: Final = msgspec.msgpack.Decoder(_Head).decode
_NO_HEAD: Final = (msgspec.MsgspecError, UnicodeDecodeError)


class Place(NamedTuple):
    """Where a body is: ``head`` octets that say which it is, ``length`` of its own, a record."""

    pack: str
    start: int
    head: int
    length: int
    tail: int = 0

    @property
    def room(self) -> int:
        """The octets that it takes."""
        return -(-(self.head + self.length + self.tail) // BLOCK) * BLOCK

    @property
    def end(self) -> int:
        return self.start + self.room

    def __str__(self) -> str:
        return f"{self.pack} {self.start} {self.head} {self.length} {self.tail}"


def parse_place(text: object) -> Place | None:
    """What ``str`` made of a place; None if it is anything else."""
    found = _PLACE.fullmatch(text) if type(text) is str else None
    return found and Place(found[1], *map(int, found.groups("0")[1:]))


def is_pack(id_: str) -> bool:
    return id_.startswith(_PREFIX)


def name_of(number: int) -> str:
    """That of the pack with this number, of 32 bits."""
    return f"{_PREFIX}{number:08x}"


def number_of(name: str) -> int | None:
    """None for one that an older version has written."""
    digits = name[len(_PREFIX) :]
    return int(digits, 16) if len(digits) == 8 else None


class Entry(NamedTuple):
    """What is in one place."""

    id: str
    body: bytes
    record: bytes


def entry(octets: bytes | memoryview) -> Entry | None:
    """That at the start of these octets; None for a hole, or what is cut or not of a pack."""
    start = 1 + octets[0] if octets else 0
    try:
        head = _decode(octets[1:start])
    except _NO_HEAD:
        return None
    middle = start + head.length
    end = middle + head.tail
    if end > len(octets):
        return None
    return Entry(head.id, bytes(octets[start:middle]), bytes(octets[middle:end]))


class Packs:
    """The pack that this process writes to, kept by a lock upon it. For one thread; blocks."""

    def __init__(self, folder: Path, new_path: Callable[[], str]) -> None:
        """``folder`` is that of the bodies, ``new_path`` names a file on its file system."""
        self._folder = folder
        self._new_path = new_path
        self._name = ""
        self._file: int | None = None
        self._end = self._before = 0

    def write(self, bodies: Sequence[Entry]) -> list[Place]:
        """Where these bodies are now. Raises OSError: they are nowhere."""
        if self._end >= _ENOUGH:
            self.close()
        file = self._begin() if self._file is None else self._file
        start = end = self._end
        pieces: list[bytes] = []
        places = []
        for id_, body, record in bodies:
            head = _encode((id_, len(body), len(record)))
            place = Place(self._name, end, 1 + len(head), len(body), len(record))
            padding = bytes(place.end - end - sum(place[2:]))
            pieces += (bytes((len(head),)) + head, body, record + padding)
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
            self._name = self._new_name()
            rename(path, body_path(self._folder, self._name))
        except OSError:
            os.close(file)
            raise
        self._file = file
        return file

    def _new_name(self) -> str:
        """None other has it."""
        while os.path.exists(body_path(self._folder, name := name_of(secrets.randbits(32) or 1))):  # noqa: PTH110
            pass
        return name

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


def read(folder: Path, place: Place) -> bytes | None:
    """The octets there, perhaps those of a hole; None if the pack is gone. Blocks."""
    return _read(folder, place, place.head, place.length)


def read_entry(folder: Path, place: Place) -> Entry | None:
    """What is there with its record. Blocks. Raises OSError."""
    octets = _read(folder, place, 0, sum(place[2:]))
    return None if octets is None else entry(octets)


def _read(folder: Path, place: Place, skip: int, size: int) -> bytes | None:
    try:
        file = opened(folder, place.pack)
    except FileNotFoundError:
        return None
    return file.pread(size, place.start + skip)


def opened(folder: Path, name: str) -> Descriptor:
    """A pack, to be read here and there. Blocks. Raises OSError."""
    file = open_file(folder, name)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.number, 0, 0, os.POSIX_FADV_RANDOM)  # nothing beside is wanted
    return file


def unnamed(
    folder: Path, name: str, named: Callable[[list[str]], Container[Place | None]]
) -> list[Place] | None:
    """The bodies of which there is more than a hole, but for the places that ``named`` knows by id.

    None if there is nothing to give back, or a process still writes to the pack; an empty list
    if the pack is empty. What follows a damaged id is one body of no id. Blocks.
    """
    try:
        file = os.open(body_path(folder, name), TO_READ)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or not _lock(file):
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
        found = _decode(octets[1:head])
    except _NO_HEAD:
        return "", Place(name, start, 0, os.fstat(file).st_size - start)
    return found.id, Place(name, start, head, found.length, found.tail)


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
