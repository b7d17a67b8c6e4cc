"""What can befall a file of a cache folder while nobody looks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# Files by kind, since the names of some are made up.
KINDS: Final = (
    "cache.db", "cache.db-wal", "cache.db-shm", "generations", "directory", "index.db",
    "pack", "body", "leases", "lock",
)  # fmt: skip
# What is lost with these is what was done last.
LOGS: Final = ("cache.db-wal", "cache.db-shm")
WAYS: Final = ("cut", "zeros", "gone", "empty")

_PAGE: Final = 4096
_HEAD: Final = 512


def file(folder: Path, kind: str, number: int) -> Path | None:
    """One of those that there are and that are not empty."""
    if kind in ("pack", "body"):
        files = [path for path in (folder / "bodies").rglob("*") if path.is_file()]
        found = [path for path in files if path.name.startswith("pack-") == (kind == "pack")]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
    else:
        found = [path for path in [folder / kind] if path.exists()]
    found = [path for path in found if path.stat().st_size]
    return found[number % len(found)] if found else None


def flip(path: Path, at: int, bit: int, *, head: bool) -> None:
    """A bit, anywhere or near the beginning."""
    size = path.stat().st_size
    offset = at % min(size, _HEAD if head else size)
    with path.open("r+b") as file:
        file.seek(offset)
        (octet,) = file.read(1)
        file.seek(offset)
        file.write(bytes((octet ^ 1 << bit,)))


def ruin(path: Path, how: str, at: int) -> None:
    """One of ``WAYS``."""
    size = path.stat().st_size
    match how:
        case "cut":
            os.truncate(path, at % size)
        case "zeros":
            start = at % size // _PAGE * _PAGE
            with path.open("r+b") as file:
                file.seek(start)
                file.write(bytes(min(_PAGE, size - start)))
        case "gone":
            path.unlink()
        case _:
            path.write_bytes(b"")


def swap(one: Path, two: Path, between: Path) -> None:
    """Each has the other's name."""
    one.rename(between)
    two.rename(one)
    between.rename(two)
