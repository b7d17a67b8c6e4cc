"""Files that the processes of a folder share as memory, trusted within one boot of the machine.

After a power loss such a file may be older than the rows; within a boot all see the same octets.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from proxy.store import aside

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO})


def beginning(magic: bytes) -> bytes:
    """What a file begins with that was made within this boot."""
    try:
        return magic + _BOOT_ID.read_bytes().strip()
    except OSError:
        return magic + b"no boot id"


def size(path: Path, magic: bytes) -> int:
    """The octets of the file; 0 if it is none that begins so and was made within this boot.

    Raises OSError when that cannot be known.
    """
    start = beginning(magic)
    try:
        with _opened(path, os.O_RDONLY) as file:
            found = os.read(file, len(start)) == start
            return os.fstat(file).st_size if found else 0
    except _NotThere:
        return 0


def read(path: Path, size: int, octets: int) -> bytes:
    """Its first octets; b"" if it is no file, or not one of that ``size`` (0: any).

    Raises OSError when that cannot be known.
    """
    try:
        with _opened(path, os.O_RDONLY) as file:
            right = size in (0, os.fstat(file).st_size)
            return os.read(file, octets) if right else b""
    except _NotThere:
        return b""


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is in that place; None if none is. Raises OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def created(path: Path, magic: bytes) -> Iterator[IO[bytes]]:
    """A new file in that place, whose beginning is written: the rest is for the caller."""
    # All blocks are taken at once: a write through the map to a hole on a full disk is SIGBUS.
    # Renamed into place, not truncated: whoever has the old one mapped keeps it.
    fresh = path.with_suffix(".new")
    aside.remove(fresh)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(beginning(magic))
        yield file
    fresh.replace(path)


def fill(file: IO[bytes], octets: int) -> None:
    """Make it that long, with zeros. Raises OSError when the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, octets)
    else:
        file.write(bytes(octets - file.tell()))


def open_map(path: Path) -> mmap.mmap:
    """All of it, to read and to write. Raises OSError."""
    with _opened(path, os.O_RDWR) as file:
        return mmap.mmap(file, 0)


class _NotThere(FileNotFoundError):
    """There is nothing, or something that is no file."""


@contextlib.contextmanager
def _opened(path: Path, mode: int) -> Iterator[int]:
    """Never through a symbolic link."""
    try:
        file = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _NotThere(error.errno, error.strerror, str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _NotThere(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        yield file
    finally:
        os.close(file)
