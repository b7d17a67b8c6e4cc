"""Files that the processes of a folder share as memory, trusted within one boot of the machine.

After a power loss such a file may be older than the rows; within a boot all see the same octets.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def size(path: Path, magic: bytes) -> int:
    """The octets of the file; 0 if it is none that begins so and was made within this boot."""
    start = _start(magic)
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size if file.read(len(start)) == start else 0
    except OSError:
        return 0


@contextlib.contextmanager
def created(path: Path, magic: bytes) -> Iterator[IO[bytes]]:
    """A new file in that place, whose beginning is written: the rest is for the caller."""
    # All blocks are taken at once: a write through the map to a hole on a full disk is SIGBUS.
    # Renamed into place, not truncated: whoever has the old one mapped keeps it.
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(_start(magic))
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
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def _start(magic: bytes) -> bytes:
    try:
        return magic + _BOOT_ID.read_bytes().strip()
    except OSError:
        return magic + b"no boot id"
