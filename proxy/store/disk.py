"""Rows and files on disk: with ``rawdisk`` the only module that knows diskcache.

A row "m" + key holds the record of that key, a row "b" + id the body of that id: inline, as a
place in a pack, or as a file that was adopted by rename. diskcache keeps the rows and the sum of
what bodies take beside them; of its other faculties none is used: no pickle in either direction,
no expiry, no policy, no culling, no files written by it.

Inline rows are read and written past diskcache, with statements of our own upon its table: one
for many rows costs a sixth of diskcache's three for each. They assume what diskcache 5.6 makes:
the columns named here, a unique index on key and raw, and triggers that keep count and size.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import diskcache
from diskcache.core import MODE_RAW

from proxy.store import aside, mapped, packs
from proxy.store.packs import Place
from proxy.store.rawdisk import BODIES, RawDisk, SpooledBody
from proxy.store.reading import MODE_PACKED, PAGE, Reading, Unreadable, eights, lenient, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DATABASE: Final = "cache.db"
DAMAGED: Final = DATABASE + aside.SUFFIX
INDEX: Final = "index.db"  # of the catalogue
SCHEMA: Final = 1

_IN_A_STATEMENT: Final = 64


def _insert(rows: int) -> str:
    # The times are for policies, of which there is none.
    row = "(?, 1, ?, ?, ?, ?, 0, NULL, 0, 0, NULL)"
    columns = "tag, value, size, mode, store_time, expire_time, access_time, access_count, filename"
    replaced = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
    return (
        f"INSERT INTO Cache (key, raw, {columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608
        f" ON CONFLICT (key, raw) DO UPDATE SET {replaced}"
    )


# Few texts, so that their prepared statements are kept: for 1, 2, 4, .. rows, or for eight.
_INSERTS: Final = {1 << n: _insert(1 << n) for n in range(_IN_A_STATEMENT.bit_length())}
_DELETE_INLINE: Final = (
    "DELETE FROM Cache WHERE key IN (?, ?, ?, ?, ?, ?, ?, ?) AND raw = 1 AND filename IS NULL"
)
_DELETE_ROWS: Final = "DELETE FROM Cache WHERE rowid IN (?, ?, ?, ?, ?, ?, ?, ?)"

# Errors of diskcache and SQLite that say nothing of the one operation that met them.
ERRORS: Final = (sqlite3.Error, diskcache.Timeout, OSError)
Kept = diskcache.Timeout  # no transaction could begin: as a rule others keep the database

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# What diskcache makes of settings in which bits are flipped.
_UNREADABLE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_FOREIGN: Final = ("no such ", "table Cache has no ", "ON CONFLICT ")
_BUSY_SECONDS: Final = 10
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
    "sqlite_secure_delete": 0,  # where it is on, whatever is evicted is written once more
    "sqlite_mmap_size": 0,  # an I/O error in a mapped file is SIGBUS
    "sqlite_synchronous": 1,
}


class Table(Reading):
    """Records and bodies. Reading: any thread. Writing: one thread, inside ``transaction``."""

    def __init__(self, folder: Path, wal_pages: int) -> None:
        """Open or create; blocks. The caller holds the folder's lock. Raises ERRORS."""
        self._folder = folder
        self.bodies = folder / BODIES
        self.wal = f"{folder}/{DATABASE}-wal"
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
        try:
            self._cache = diskcache.Cache(
                str(folder), timeout=_BUSY_SECONDS, disk=RawDisk, **settings
            )
        except _UNREADABLE as error:
            raise UnknownSchema("the settings in it cannot be read") from error
        self._identity = mapped.identity(database)
        self._disk: RawDisk = self._cache.disk
        self._rows: dict[str, tuple[str, str | None, bytes | str, int, int]] = {}
        self._holes: dict[str, list[Place]] = {}

    @property
    def is_replaced(self) -> bool:
        """Whether another database is in its place by now. Blocks."""
        return mapped.identity(self._folder / DATABASE) != self._identity

    def _sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        connection = self._cache._con
        connection.text_factory = lenient
        return list(connection.execute(statement, parameters))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, files included; no other process writes meanwhile. Raises ERRORS.

        Inline rows are written at its end: what is read within does not see them.
        """
        try:
            with self._cache.transact():
                yield
                self._write_rows()
        except BaseException:
            self._rows.clear()
            self._holes.clear()
            self._disk.undo()
            self._break_off()
            raise
        self._disk.finish()
        while self._holes:
            packs.punch(self.bodies, *self._holes.popitem())

    def _break_off(self) -> None:
        """diskcache leaves a transaction open whose commit failed."""
        try:
            if self._cache._con.in_transaction:
                self._cache._con.execute("ROLLBACK")
        except sqlite3.Error:
            self.leave()

    def write_record(self, key: str, record: bytes) -> None:
        self._write("m" + key, None, record)

    def write_body(self, key: str, id_: str, body: bytes | SpooledBody | Place) -> None:
        """The tag of a body is its key: how it is found when the record is damaged."""
        if type(body) is Place:
            self._rows["b" + id_] = ("b" + id_, key, str(body), body.room, MODE_PACKED)
        elif type(body) is SpooledBody:
            self._cache.set("b" + id_, body, tag=key)
        else:
            self._write("b" + id_, key, body)

    def _write(self, row: str, tag: str | None, value: object) -> None:
        if type(value) is not bytes:
            raise TypeError(f"a value is octets or a spooled body, not {type(value).__name__}")
        self._rows[row] = (row, tag, value, 0, MODE_RAW)

    def free(self, place: Place) -> None:
        """No row will name it."""
        self._holes.setdefault(place.pack, []).append(place)

    def _write_rows(self) -> None:
        # Each statement gives up the interpreter's lock once: so as few as possible.
        rows = list(self._rows.values())
        self._rows.clear()
        connection = self._cache._con
        while rows:
            count = min(1 << len(rows).bit_length() - 1, _IN_A_STATEMENT)
            parameters: list[object] = []
            for row in rows[:count]:
                parameters += row
            connection.execute(_INSERTS[count], parameters)
            del rows[:count]

    def delete_record(self, key: str) -> None:
        self._delete(["m" + key])

    def delete_rows(self, rowids: Sequence[int]) -> None:
        """Records, whatever their keys have become."""
        for few in eights(rowids):
            self._cache._con.execute(_DELETE_ROWS, few)

    def delete_bodies(self, ids: Sequence[str]) -> None:
        """Those that are there, with their files."""
        self._delete(["b" + id_ for id_ in ids])

    def _delete(self, rows: Sequence[str]) -> None:
        connection, inline = self._cache._con, 0
        for place in self._places(rows):
            self.free(place)
        for few in eights(rows):
            inline += connection.execute(_DELETE_INLINE, few).rowcount
        for row in rows:
            self._forget(row)
        if inline < len(rows):
            for row in rows:
                self._cache.delete(row)

    def _forget(self, row: str) -> None:
        """A row that is not written yet."""
        unwritten = self._rows.pop(row, None)
        place = unwritten and place_of(unwritten[4], unwritten[2])
        if place:
            self.free(place)

    def delete_bodies_of(self, key: str) -> None:
        """Every body with that tag; reads the whole table."""
        rows = self._sql("SELECT key FROM Cache WHERE tag = ? AND raw = 1", key)
        self._delete([row for (row,) in rows if type(row) is str and row.startswith("b")])

    def sweep(self, pack: str) -> None:
        """Give back, with the commit, the room of what no row names."""
        places = self.unnamed(pack)
        if places is not None:
            self._holes[pack] = places

    def recount(self) -> None:
        """What bodies take beside the rows, by the rows; reads the whole table."""
        self._sql(
            "UPDATE Settings SET value = (SELECT coalesce(sum(size), 0) FROM Cache)"
            " WHERE key = 'size'"
        )

    def vacuum(self, octets: int) -> None:
        """Give free pages back to the file system; outside of transactions."""
        # ``execute`` would free one page only: the pragma answers no columns, so it stops there.
        self._cache._con.executescript(f"PRAGMA incremental_vacuum({octets // PAGE + 1})")

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
        if isinstance(error, (UnknownSchema, Unreadable)) or _is_foreign(error):
            return True
        error = error.__context__
    return False


def is_full(error: BaseException | None) -> bool:
    """Whether it says that the disk is full, or the quota."""
    while error is not None:
        if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF == sqlite3.SQLITE_FULL:
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__context__
    return False


def _is_foreign(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(_FOREIGN)


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
    drop_log(folder)
    aside.move(folder / DATABASE)


def drop_log(folder: Path) -> None:
    """Remove what SQLite keeps beside a database that is not there any more.

    While another process has the old one open, the new one's log would be read by the index of
    the old one's: an I/O error, for ever.
    """
    for suffix in ("-wal", "-shm"):
        aside.remove(folder / (DATABASE + suffix))
