"""Rows and files on disk: the only module that knows diskcache.

A row "m" + key holds the record of that key, a row "b" + id the body of that id: inline, or as a
file that was adopted by rename. diskcache keeps the rows and the sum of the files' sizes; of its
other faculties none is used: no pickle in either direction, no expiry, no policy, no culling, no
files written by it. What a transaction renames or unlinks follows its fate: renames are undone
by a rollback, files are unlinked after the commit.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW

from proxy.store.bodies import body_path

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = 4096
DATABASE: Final = "cache.db"
DAMAGED: Final = "cache.db.damaged"
BODIES: Final = "bodies"
SCHEMA: Final = 1

# Errors of diskcache and SQLite that say nothing of the one operation that met them.
ERRORS: Final = (sqlite3.Error, diskcache.Timeout, OSError)

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY_SECONDS: Final = 10
_FILENAME: Final = re.compile(r"bodies/[0-9a-z_-]{2}/[0-9a-z_-]{2,64}")
_SETTINGS: Final = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": 2**31,
    "disk_pickle_protocol": 0,
    "sqlite_auto_vacuum": 2,  # incremental: only when we say so
    "sqlite_cache_size": 1024,
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # an I/O error in a mapped file is SIGBUS
    "sqlite_synchronous": 1,
}


class RefusedRow(OSError):
    """A row this program cannot have written. An OSError: diskcache calls it a miss."""


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A finished spool file, on the file system of the store, and the room promised to it."""

    path: str
    length: int
    promised: int


class Usage(NamedTuple):
    """Octets: pages of the database in use and free, and body files as blocks on disk."""

    pages: int
    free: int
    files: int


class RecordRow(NamedTuple):
    rowid: int
    key: str
    record: bytes


class RawDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys are text, values are octets or a file; nothing is ever pickled or unpickled."""

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

    def store(
        self, value: object, read: bool, key: object = None
    ) -> tuple[int, int, str | None, object]:
        """Size on disk beside the database, mode, file name, octets."""
        if type(value) is bytes:
            return 0, MODE_RAW, None, value
        if type(value) is not SpooledBody or type(key) is not str:
            raise TypeError(f"a value is octets or a spooled body, not {type(value).__name__}")
        path = body_path(Path(self._directory, BODIES), key[1:])
        size = max(os.stat(value.path).st_blocks * 512, value.length)  # noqa: PTH116
        _rename(value.path, path)
        self.adopted.append((value.path, path))
        return size, MODE_BINARY, os.path.relpath(path, self._directory), None

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes | Path:
        """Octets of an inline row; the path of an adopted file."""
        if mode == MODE_RAW and type(value) is bytes:
            return value
        if mode == MODE_BINARY and type(filename) is str and _FILENAME.fullmatch(filename):
            return Path(self._directory, filename)
        raise RefusedRow(f"a value of mode {mode!r}")

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


class Table:
    """Records and bodies. Reading: any thread. Writing: one thread, inside ``transaction``."""

    def __init__(self, folder: Path, wal_pages: int) -> None:
        """Open or create; blocks. The caller holds the folder's lock. Raises ERRORS."""
        self._folder = folder
        self.bodies = folder / BODIES
        self.bodies.mkdir(mode=0o700, exist_ok=True)
        database = folder / DATABASE
        # SQLite gives its other files the mode of this one.
        # It is not opened if it exists: closing it would drop SQLite's locks of this process.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database.chmod(0o600)
        _check_schema(database)
        settings = {
            **_SETTINGS,
            "sqlite_wal_autocheckpoint": wal_pages,
            "sqlite_journal_size_limit": wal_pages * PAGE,
        }
        self._cache = diskcache.Cache(str(folder), timeout=_BUSY_SECONDS, disk=RawDisk, **settings)
        self._disk: RawDisk = self._cache.disk

    def _sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        connection = self._cache._con
        # A flipped bit in a text must not be an error for every statement that meets it.
        connection.text_factory = _lenient
        return list(connection.execute(statement, parameters))

    def record(self, key: str) -> bytes | None:
        """The record of ``key``. That of a row that is not ours is empty."""
        record = self._octets("m" + key)
        return b"" if record is None and ("m" + key) in self._cache else record

    def inline_body(self, id_: str) -> bytes | None:
        return self._octets("b" + id_)

    def _octets(self, key: str) -> bytes | None:
        value = self._cache.get(key)
        return value if type(value) is bytes else None

    def has_body(self, id_: str) -> bool:
        return ("b" + id_) in self._cache

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, files included; no other process writes meanwhile. Raises ERRORS."""
        try:
            with self._cache.transact():
                yield
        except BaseException:
            self._disk.undo()
            raise
        self._disk.finish()

    def write_record(self, key: str, record: bytes) -> None:
        self._cache.set("m" + key, record)

    def write_body(self, key: str, id_: str, body: bytes | SpooledBody) -> None:
        """The tag of a body is its key: how it is found when the record is damaged."""
        self._cache.set("b" + id_, body, tag=key)

    def delete_record(self, key: str) -> None:
        self._cache.delete("m" + key)

    def delete_row(self, rowid: int) -> None:
        """A record, whatever its key has become."""
        self._sql("DELETE FROM Cache WHERE rowid = ?", rowid)

    def delete_body(self, id_: str) -> None:
        self._cache.delete("b" + id_)

    def delete_bodies_of(self, key: str) -> None:
        """Every body with that tag; reads the whole table."""
        rows = self._sql("SELECT key FROM Cache WHERE tag = ? AND raw = 1", key)
        for (row,) in rows:
            if type(row) is str and row.startswith("b"):
                self._cache.delete(row)

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]:
        """Records in the order in which their keys came. A row that is not ours has none."""
        rows = self._sql(
            "SELECT rowid, key, mode, value FROM Cache"
            " WHERE rowid > ? AND key >= 'm' AND key < 'n' AND raw = 1 ORDER BY rowid LIMIT ?",
            rowid,
            limit,
        )
        return [
            RecordRow(rowid, key[1:], v if mode == MODE_RAW and type(v) is bytes else b"")
            for rowid, key, mode, v in rows
        ]

    def count_keys(self) -> int:
        """5 ms for 100,000: from the index alone."""
        return int(self._sql("SELECT COUNT(*) FROM Cache WHERE key >= 'm' AND key < 'n'")[0][0])

    def usage(self) -> Usage:
        """4 us; inside a transaction with its own changes."""
        ((pages,),) = self._sql("PRAGMA page_count")
        ((free,),) = self._sql("PRAGMA freelist_count")
        ((files,),) = self._sql("SELECT value FROM Settings WHERE key = 'size'")
        return Usage((pages - free) * PAGE, free * PAGE, files)

    def vacuum(self, octets: int) -> None:
        """Give free pages back to the file system; outside of transactions."""
        # ``execute`` would free one page only: the pragma answers no columns, so it stops there.
        self._cache._con.executescript(f"PRAGMA incremental_vacuum({octets // PAGE + 1})")

    def journal(self) -> int:
        """The size of the write-ahead log."""
        try:
            return os.stat(f"{self._folder}/{DATABASE}-wal").st_size  # noqa: PTH116
        except FileNotFoundError:
            return 0

    def checkpoint(self) -> None:
        """Empty the write-ahead log, unless readers keep it for longer than a moment."""
        self._sql("PRAGMA busy_timeout = 50")
        self._sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self._sql(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")

    def leave(self) -> None:
        """Close the connection of the calling thread."""
        with contextlib.suppress(sqlite3.Error):
            self._cache.close()


def is_damage(error: BaseException | None) -> bool:
    """Whether the database is damaged, or not one of ours: then it has to go."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DAMAGE:
            return True
        if isinstance(error, UnknownSchema) or _is_foreign(error):
            return True
        error = error.__context__
    return False


def _is_foreign(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such ")


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")


class UnknownSchema(sqlite3.DatabaseError):
    """The database is of a version that this program does not know."""


def _check_schema(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
        ((version,),) = connection.execute("PRAGMA user_version")
        ((tables,),) = connection.execute("SELECT COUNT(*) FROM sqlite_master")
        if not tables:
            # Both belong to the first page, which the first of all statements writes.
            connection.execute("PRAGMA auto_vacuum = 2")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
    if tables and version != SCHEMA:
        raise UnknownSchema(f"version {version} of the database")


def move_aside(folder: Path) -> None:
    """The database becomes ``DAMAGED``, in the place of an older such."""
    for suffix in ("-wal", "-shm"):
        (folder / (DATABASE + suffix)).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (folder / DATABASE).replace(folder / DAMAGED)


def _rename(source: str, target: str) -> None:
    try:
        os.replace(source, target)  # noqa: PTH105
    except FileNotFoundError:
        Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(source, target)  # noqa: PTH105
