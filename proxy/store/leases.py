"""Leases: which process asks an origin for a key, among those that share a folder.

A lease is a lock on one octet of the file ``leases``, whose place is a hash of what is leased.
The kernel gives it to one process at a time, and takes it back when that process ends, however
it ends. Two names with one place are no harm: somebody waits for what does not concern him, or
asks for himself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Leases:
    """One per process and folder, and for good: whoever closes a second descriptor of the file

    gives up what was leased by the first, as POSIX has it.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        mode = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, mode, 0o600)

    def take(self, name: str) -> int | None:
        """The place to give back; None: another process has it. Never waits."""
        # An end beyond 63 bits would be refused.
        place = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 2
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return None
        except OSError:
            return place  # out of locks: each for himself
        return place

    def give_back(self, place: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        os.close(self._file)
