"""Rows as they are read: by the table of the store, and by whoever only looks (``beside``)."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from diskcache.core import MODE_RAW

from proxy.store import packs, records
from proxy.store.base import FORMS
from proxy.store.packs import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PAGE: Final = 4096
MODE_PACKED: Final = 5  # none of diskcache's: the value says where the octets are

_ROW: Final = "SELECT rowid, key, mode, value FROM Cache"
_RECORDS: Final = "key >= 'm' AND key < 'n' AND raw = 1"
_BODIES: Final = "key >= 'b' AND key < 'c' AND raw = 1"
_BODY: Final = "SELECT rowid, key, tag, coalesce(size, 0) + coalesce(length(value), 0) FROM Cache"
_EIGHT: Final = "key IN (?, ?, ?, ?, ?, ?, ?, ?) AND raw = 1"
_COUNT_RECORDS: Final = f"SELECT COUNT(*) FROM Cache WHERE {_RECORDS}"  # noqa: S608
_COUNT_BODIES: Final = f"SELECT COUNT(*) FROM Cache WHERE {_BODIES}"  # noqa: S608
_SELECT: Final = "SELECT mode, value FROM Cache WHERE key = ? AND raw = 1"
_SELECT_PACKED: Final = f"SELECT mode, value FROM Cache WHERE {_EIGHT} AND mode = {MODE_PACKED}"  # noqa: S608


class Unreadable(sqlite3.DatabaseError):
    """Something in the database is not what this program writes there."""


class Usage(NamedTuple):
    """Octets: pages of the database in use and free, and body files as blocks on disk."""

    pages: int
    free: int
    files: int


class RecordRow(NamedTuple):
    rowid: int
    key: str
    record: bytes


class BodyRow(NamedTuple):
    """A body, the key that it is tagged with, and the octets that it takes."""

    rowid: int
    id: str
    key: str
    octets: int


class Reading(ABC):
    """Records and bodies. ``bodies`` is the folder of body files, ``wal`` the path of the log."""

    bodies: Path
    wal: str

    @abstractmethod
    def _sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]: ...

    def record(self, key: str) -> bytes | None:
        """The record of ``key``. That of a row that is not ours is empty."""
        rows = self._sql(_SELECT, "m" + key)
        return _octets(*rows[0]) or b"" if rows else None

    def records_of(self, keys: Sequence[str]) -> list[RecordRow]:
        """Those of these keys that there are."""
        text = f"{_ROW} WHERE {_EIGHT}"
        return [
            row for few in eights(["m" + key for key in keys]) for row in self._found(text, *few)
        ]

    def record_at(self, rowid: int) -> RecordRow | None:
        """Whatever its key has become."""
        rows = self._found(f"{_ROW} WHERE rowid = ? AND {_RECORDS}", rowid)
        return rows[0] if rows else None

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]:
        """Records in the order in which their keys came. A row that is not ours has none."""
        return self._found(
            f"{_ROW} WHERE rowid > ? AND {_RECORDS} ORDER BY rowid LIMIT ?", rowid, limit
        )

    def forms(self, limit: int, of: str = "", after: str = "") -> list[RecordRow]:
        """Records of what can be made again, in the order of their keys, from ``after`` on.

        ``of``: only those that were made of the body with that id.
        """
        first = f"m{FORMS}{of} " if of else f"m{FORMS}"
        end = first[:-1] + chr(ord(first[-1]) + 1)
        start = f"m{after}\0" if after else first
        where = "key >= ? AND key < ? AND raw = 1"
        return self._found(f"{_ROW} WHERE {where} ORDER BY key LIMIT ?", start, end, limit)

    def _found(self, statement: str, *parameters: object) -> list[RecordRow]:
        return [
            RecordRow(rowid, key[1:], _octets(mode, value) or b"")
            for rowid, key, mode, value in self._sql(statement, *parameters)
        ]

    def count_keys(self) -> int:
        """5 ms for 100,000: from the index alone."""
        return int(self._sql(_COUNT_RECORDS)[0][0])

    def count_bodies(self) -> int:
        """The same of bodies."""
        return int(self._sql(_COUNT_BODIES)[0][0])

    def inline_body(self, id_: str) -> bytes | None:
        """The octets of a row, or of the place in a pack that it names."""
        where = self.body(id_)
        return packs.read(self.bodies, where) if isinstance(where, Place) else where

    def body(self, id_: str) -> bytes | Place | None:
        """What is in the row of a body."""
        rows = self._sql(_SELECT, "b" + id_)
        return (place_of(*rows[0]) or _octets(*rows[0])) if rows else None

    def has_body(self, id_: str) -> bool:
        return bool(self._sql("SELECT 1 FROM Cache WHERE key = ? AND raw = 1", "b" + id_))

    def bodies_after(self, rowid: int, limit: int) -> list[BodyRow]:
        """In the order in which they came."""
        return self._bodies(
            f"{_BODY} WHERE rowid > ? AND {_BODIES} ORDER BY rowid LIMIT ?", rowid, limit
        )

    def bodies_of(self, ids: Sequence[str]) -> list[BodyRow]:
        """Those of these ids that there are."""
        text = f"{_BODY} WHERE {_EIGHT}"
        return [
            row for few in eights(["b" + id_ for id_ in ids]) for row in self._bodies(text, *few)
        ]

    def _bodies(self, statement: str, *parameters: object) -> list[BodyRow]:
        return [
            BodyRow(rowid, key[1:], tag if type(tag) is str else "", octets)
            for rowid, key, tag, octets in self._sql(statement, *parameters)
        ]

    def nameless(self, bodies: Sequence[BodyRow]) -> list[BodyRow]:
        """Those that the record of their key does not name; one that cannot be read names all."""
        keys = list({body.key for body in bodies})
        named: dict[str, set[str]] = {}
        damaged: set[str] = set()
        for row in self.records_of(keys):
            try:
                named[row.key] = {id_ for id_, _ in records.bodies(row.key, row.record)}
            except records.DamagedRecord:
                damaged.add(row.key)
        return [
            body
            for body in bodies
            if body.key not in damaged and body.id not in named.get(body.key, ())
        ]

    def is_orphan(self, id_: str) -> bool:
        """Whether this body file has no row, or there is room to give back in this pack."""
        if packs.is_pack(id_):
            return self.unnamed(id_) is not None
        return not self.has_body(id_)

    def unnamed(self, pack: str) -> list[Place] | None:
        """As ``packs.unnamed``: what no row names."""
        return packs.unnamed(
            self.bodies, pack, lambda ids: self._places(["b" + id_ for id_ in ids])
        )

    def _places(self, rows: Sequence[str]) -> set[Place]:
        """Those that these rows name."""
        found = [
            place_of(*body) for few in eights(rows) for body in self._sql(_SELECT_PACKED, *few)
        ]
        return {place for place in found if place is not None}

    def usage(self) -> Usage:
        """4 us; inside a transaction with its own changes."""
        ((pages,),) = self._sql("PRAGMA page_count")
        ((free,),) = self._sql("PRAGMA freelist_count")
        rows = self._sql("SELECT value FROM Settings WHERE key = 'size'")
        files = rows[0][0] if rows else None
        if type(files) is not int or free > pages:
            raise Unreadable("its size cannot be read")
        return Usage((pages - free) * PAGE, free * PAGE, files)

    def journal(self) -> int:
        """The size of the write-ahead log."""
        try:
            return os.stat(self.wal).st_size  # noqa: PTH116
        except FileNotFoundError:
            return 0


def eights(values: Sequence[object]) -> Iterator[list[object]]:
    """Eight at a time; nothing is equal to the None that fill the last."""
    for start in range(0, len(values), 8):
        few = list(values[start : start + 8])
        yield few + [None] * (8 - len(few))


def _octets(mode: object, value: object) -> bytes | None:
    return value if mode == MODE_RAW and type(value) is bytes else None


def place_of(mode: object, value: object) -> Place | None:
    """The place that a row of these names."""
    return packs.parse_place(value) if mode == MODE_PACKED else None


def lenient(text: bytes) -> str:
    """A flipped bit in a text must not be an error for every statement that meets it."""
    return text.decode(errors="replace")
