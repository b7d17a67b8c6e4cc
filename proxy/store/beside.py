"""A folder for whoever only looks, beside its proxy or without one: nothing is created in it.

It need not even be writable: where SQLite cannot make the files that readers share, and there is
no log of a writer either, the database is taken to be as it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from proxy.store.base import StoreFailed
from proxy.store.disk import DATABASE
from proxy.store.folder import fixed
from proxy.store.rawdisk import BODIES
from proxy.store.reading import Reading, lenient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_SECONDS: Final = 10


class NoCache(StoreFailed):
    """There is none in the folder."""


class Beside(Reading):
    """Rows of a folder, upon a connection of its own, for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Blocks. Raises NoCache, sqlite3.Error."""
        require(folder)
        self.bodies = folder / BODIES
        self.wal = f"{folder}/{DATABASE}-wal"
        self._folder = folder
        self._connection = sqlite3.connect(
            read_only(folder / DATABASE),
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection.text_factory = lenient
        try:
            self._sql("PRAGMA mmap_size = 0")  # an I/O error in a mapped file is SIGBUS
            self._sql("SELECT 1 FROM Cache LIMIT 1")
        except BaseException:
            self.close()
            raise

    def _sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def content(self) -> int:
        """The octets that the limit of the folder bounds, but for bodies on their way in."""
        usage = self.usage()
        return usage.pages + usage.files + self.journal()

    def size(self) -> int:
        """All octets of the folder, as ``TieredStore.usage`` says."""
        return self.content() + self.usage().free + fixed(self._folder)

    def close(self) -> None:
        self._connection.close()


def require(folder: Path) -> None:
    """Raises NoCache."""
    if not (folder / DATABASE).is_file():
        raise NoCache(f"There is no cache in {folder}.")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Beside]:
    """Blocks. Raises StoreFailed with a sentence, also for what fails within."""
    try:
        rows = Beside(folder)
        try:
            yield rows
        finally:
            rows.close()
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"The cache in {folder} cannot be read: {error}.") from error


def read_only(file: Path) -> str:
    """The URI of a database that is only read."""
    uri = f"{file.absolute().as_uri()}?mode=ro"
    if os.access(file.parent, os.W_OK) or file.with_name(f"{file.name}-wal").exists():
        return uri
    return f"{uri}&immutable=1"
