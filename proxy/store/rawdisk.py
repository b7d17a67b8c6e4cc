"""How diskcache is kept from all that it could do with a row: the files of rows, and no pickle.

Keys are text; a body's file is adopted by rename, not written. What a transaction renames or
unlinks follows its fate: renames are undone by a rollback, files are unlinked after the commit.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diskcache
from diskcache.core import MODE_BINARY

from proxy.store.bodies import body_path, rename

BODIES: Final = "bodies"

_FILENAME: Final = re.compile(r"bodies/[0-9a-z_-]{2}/[0-9a-z_-]{2,64}")


class RefusedRow(OSError):
    """A row this program cannot have written. An OSError: diskcache calls it a miss."""


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A finished spool file, on the file system of the store, and the room promised to it."""

    path: str
    length: int
    promised: int


class RawDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys are text, values are files; nothing is ever pickled or unpickled."""

    def __init__(self, directory: str, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.adopted: list[tuple[str, str]] = []
        self.doomed: list[str] = []

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or type(key) is not str:
            raise RefusedRow("a key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, str, None]:
        """Size on disk beside the database, mode, file name, no octets."""
        if type(value) is not SpooledBody or type(key) is not str:
            raise TypeError(f"a value is a spooled body, not {type(value).__name__}")
        path = body_path(Path(self._directory, BODIES), key[1:])
        size = max(os.stat(value.path).st_blocks * 512, value.length)  # noqa: PTH116
        rename(value.path, path)
        self.adopted.append((value.path, path))
        return size, MODE_BINARY, os.path.relpath(path, self._directory), None

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:
        raise RefusedRow("what is not octets, which are read past diskcache")

    def remove(self, file_path: str) -> None:
        if _FILENAME.fullmatch(file_path):
            self.doomed.append(str(Path(self._directory, file_path)))

    def undo(self) -> None:
        """After a rollback: every file is where it was."""
        self.doomed.clear()
        while self.adopted:
            spooled, path = self.adopted.pop()
            with contextlib.suppress(OSError):
                os.replace(path, spooled)  # noqa: PTH105

    def finish(self) -> None:
        """After a commit: unlink what no row names any more."""
        self.adopted.clear()
        while self.doomed:
            with contextlib.suppress(OSError):
                os.unlink(self.doomed.pop())  # noqa: PTH108
