"""The tables of the catalogue's index, and what they say of one record of the store.

``entries`` has a row for each key, with the rowid of its record; ``others`` those records that are
no entries: kept forms, of which the octets count with the entry they were made of, and damaged
ones. The hashes are there for indexes to be narrow: what they find is compared in full.
"""

from __future__ import annotations

import contextlib
import re
import time
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from proxy.policy import freshness, rules, tags
from proxy.semantics.targets import Absolute, BadTarget, parse
from proxy.store import records
from proxy.store.base import FORMS
from proxy.store.crc import crc32

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse

SCHEMA: Final = 1

TABLES: Final = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE slots (slot INTEGER PRIMARY KEY, stamp INTEGER NOT NULL);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, place INTEGER NOT NULL,
    key TEXT NOT NULL, stamp BLOB, slot INTEGER NOT NULL,
    host INTEGER NOT NULL, kind INTEGER NOT NULL, chain INTEGER NOT NULL,
    status INTEGER NOT NULL, type TEXT NOT NULL, coding TEXT NOT NULL, variants INTEGER NOT NULL,
    octets INTEGER NOT NULL, stored REAL NOT NULL, fresh_until REAL NOT NULL,
    hits INTEGER NOT NULL, used REAL NOT NULL, tags TEXT NOT NULL);
CREATE TABLE tags (tag TEXT NOT NULL, entry INTEGER NOT NULL);
CREATE TABLE others (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, stamp BLOB, slot INTEGER NOT NULL,
    body TEXT NOT NULL, octets INTEGER NOT NULL, parent TEXT);
CREATE INDEX others_by_slot ON others (slot);
CREATE INDEX others_by_parent ON others (parent);
CREATE TABLE uses (key TEXT PRIMARY KEY, hits INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
"""

# ``place`` is the id once more: as the primary key it would not count in a range of two columns.
# Made when the rows are there: a million rows are sorted in a second and inserted in ten.
_FILTERS: Final = "place, fresh_until, host, kind, chain"
INDEXES: Final = {
    "by_key": "entries (key)",
    "by_slot": "entries (slot)",
    "by_tag": "tags (tag, entry)",
    "by_used": f"entries (used, {_FILTERS})",
    "by_octets": f"entries (octets, {_FILTERS})",
    "by_stored": f"entries (stored, {_FILTERS})",
    "by_hits": f"entries (hits, {_FILTERS})",
    "by_fresh_until": "entries (fresh_until, place, host, kind, chain)",
}

# What tells a record from any other that was ever in its place: its version and checksum.
STAMP: Final = "CAST(substr(c.value, 1, 5) AS BLOB)"

_TEXT_AT_MOST: Final = 128
_AUTHORITY: Final = re.compile(r"https?://((\[[^/?#\]]*\]|[^/?#:]*)(?::[0-9]*)?)")
_BETWEEN_BREATHS: Final = 32  # rows: half a millisecond
_BREATH: Final = 0.00005
_IN_A_STATEMENT: Final = 64
SLOTS_AT_ONCE: Final = 32
_MARKS: Final = ", ".join("?" * _IN_A_STATEMENT)

_SOURCE: Final = (
    f"SELECT c.rowid, c.key, {STAMP}, "  # noqa: S608
    "CASE WHEN c.mode = 1 AND typeof(c.value) = 'blob' THEN c.value END "
    "FROM store.Cache c NOT INDEXED "
    "WHERE c.key >= 'm' AND c.key < 'n' AND c.raw = 1"
)
AFTER: Final = f"{_SOURCE} AND c.rowid > ? ORDER BY c.rowid LIMIT ?"
THESE: Final = f"{_SOURCE} AND c.rowid IN ({{}})"
LEAVING: Final = "SELECT id, key, hits, used, tags FROM entries WHERE {} IN ({})"
SIZES: Final = (
    "SELECT key, coalesce(size, 0) + coalesce(length(value), 0)"
    " FROM store.Cache WHERE key IN ({}) AND raw = 1"
)
PARENTS: Final = "SELECT id, parent FROM others WHERE id IN ({})"
KEPT: Final = "SELECT body, octets FROM others WHERE parent IN ({})"
UNSETTLED: Final = "SELECT id, body FROM others WHERE parent IS NULL LIMIT ?"
TAGGED: Final = "SELECT key, tag FROM store.Cache WHERE key IN ({}) AND raw = 1"
IDS: Final = "SELECT id FROM entries WHERE key IN ({})"
LAST: Final = """
    SELECT c.rowid, hex(c.key) || ' ' || hex(coalesce(substr(c.value, 1, 5), ''))
    FROM store.Cache c"""
LAST_IN_PLACE: Final = (
    "SELECT e.id FROM entries e CROSS JOIN store.Cache c ON c.rowid = e.id "  # noqa: S608
    f"WHERE e.id <= ? AND {STAMP} IS e.stamp ORDER BY e.id DESC LIMIT 1"
)
MOVED: Final = (
    f"SELECT e.id FROM {{}} e LEFT JOIN store.Cache c ON c.rowid = e.id "  # noqa: S608
    f"WHERE e.slot IN ({', '.join('?' * SLOTS_AT_ONCE)}) "
    f"AND (c.rowid IS NULL OR {STAMP} IS NOT e.stamp)"
)
COUNT: Final = "SELECT count(*) FROM store.Cache WHERE key >= 'm' AND key < 'n'"
USE: Final = "UPDATE entries SET hits = hits + ?, used = max(used, ?) WHERE key = ?"
WAIT: Final = """
    INSERT INTO uses VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET hits = hits + excluded.hits, used = max(used, excluded.used)"""

_T = TypeVar("_T")


class Entry(NamedTuple):
    """What the catalogue knows of a key; status, type and coding are the newest variant's.

    ``octets`` is what all variants and their kept forms take in rows and files. ``fresh_until``
    is when the last variant needs validation before it is reused, which for one with no-cache is
    from the beginning. ``used`` is the last use, and that is ``stored`` before there was any. Times
    are epoch seconds.
    """

    key: str
    url: str
    host: str
    status: int
    type: str
    coding: str
    variants: int
    octets: int
    stored: float
    fresh_until: float
    hits: int
    used: float
    tags: tuple[str, ...]
    rowid: int


COLUMNS: Final = (
    "e.id, e.key, e.status, e.type, e.coding, e.variants, e.octets, e.stored, e.fresh_until,"
    " e.hits, e.used, e.tags"
)


def entry(row: tuple[Any, ...]) -> Entry:
    """Of a row of ``COLUMNS``."""
    id_, key, *_, said = row
    return Entry._make((key, key, host_of(key)[0], *row[2:11], decode_tags(said), id_))


class Source(NamedTuple):
    """A record as it is in the store; ``key`` without its first letter, ``record`` None: no octets.

    ``slot`` is that of the key's generation.
    """

    id: int
    key: str
    stamp: bytes | None
    record: bytes | None
    slot: int


class Described(NamedTuple):
    """What a record says by itself; ``bodies`` are the ids of those that have octets."""

    source: Source
    status: int
    type: str
    coding: str
    variants: int
    stored: float
    fresh_until: float
    tags: tuple[str, ...]
    bodies: tuple[str, ...]

    def values(
        self, sizes: Mapping[str, int], kept: Mapping[str, int], hits: int, used: float
    ) -> tuple[object, ...]:
        """A row of ``entries``: ``sizes`` of bodies, and of what is ``kept`` of them."""
        source = self.source
        octets = len(source.record or b"")
        for body in self.bodies:
            octets += sizes.get(body, 0) + kept.get(body, 0)
        return (
            source.id,
            source.id,
            source.key,
            source.stamp,
            source.slot,
            hash_of(host_of(source.key)[1]),
            kind_of(self.type),
            chain_of(self.coding),
            self.status,
            self.type,
            self.coding,
            self.variants,
            octets,
            self.stored,
            self.fresh_until,
            hits,
            max(self.stored, used),
            encode_tags(self.tags),
        )


class Form(NamedTuple):
    """A kept form: ``body`` is that of which it was made, ``bodies`` are its own."""

    source: Source
    body: str
    bodies: tuple[str, ...]

    def values(self, sizes: Mapping[str, int]) -> tuple[object, ...]:
        """A row of ``others``, whose parent is still to be found."""
        source = self.source
        octets = len(source.record or b"") + sum(sizes.get(body, 0) for body in self.bodies)
        return source.id, source.key, source.stamp, source.slot, self.body, octets, None


class Damaged(NamedTuple):
    """What is skipped."""

    source: Source
    bodies: tuple[str, ...] = ()

    def values(self, _: Mapping[str, int]) -> tuple[object, ...]:
        """A row of ``others``."""
        source = self.source
        return source.id, source.key, source.stamp, source.slot, "", len(source.record or b""), ""


Found = Described | Form | Damaged


def describe(source: Source, options: Options) -> Found:
    """What the record says, under these options."""
    try:
        variants = records.decode(source.key, source.record or b"")
        bodies = tuple(stored.id for stored in variants if stored.length)
        if source.key.startswith(FORMS):
            return Form(source, source.key[len(FORMS) :].partition(" ")[0], bodies)
        return _described(source, variants, bodies, options)
    except (ValueError, OverflowError):  # DamagedRecord, or values that no response has
        return Damaged(source)


def _described(
    source: Source,
    variants: tuple[StoredResponse, ...],
    bodies: tuple[str, ...],
    options: Options,
) -> Described:
    if not variants:
        raise records.DamagedRecord("nothing is stored")
    newest = variants[0]
    fields = newest.head.fields
    rule = _rule(source.key, options)
    until = max([_servable_until(stored, options, rule) for stored in variants])
    if not (isfinite(newest.response_time) and isfinite(until) and 0 <= newest.head.status < 1000):
        raise records.DamagedRecord("times or status")
    media, coding = fields.get("content-type"), fields.get("content-encoding")
    said = tags.tags(fields)
    if len(variants) > 1:
        said = said.union(*(tags.tags(stored.head.fields) for stored in variants[1:]))
    return Described(
        source,
        newest.head.status,
        media.partition(";")[0].strip().lower()[:_TEXT_AT_MOST] if media else "",
        coding.strip().lower()[:_TEXT_AT_MOST] if coding else "",
        len(variants),
        newest.response_time,
        until,
        tuple(sorted(said)) if said else (),
        bodies,
    )


def _servable_until(stored: StoredResponse, options: Options, rule: Rule | None) -> float:
    terms = freshness.terms(stored, options, rule)
    if stored.invalid or terms.validate:
        return min(terms.fresh_until, stored.response_time)
    return terms.fresh_until


def _rule(key: str, options: Options) -> Rule | None:
    if not options.rules:
        return None
    try:
        target = parse("GET", key)
    except BadTarget:
        return None
    return rules.first(options.rules, target.uri) if isinstance(target, Absolute) else None


def host_of(key: str) -> tuple[str, str]:
    """The authority in a key, and the host's name without port; "" where there is none."""
    found = _AUTHORITY.match(key)
    return (found[1], found[2]) if found else ("", "")


def hash_of(text: str) -> int:
    """23 bits, which SQLite keeps in 3 octets."""
    return crc32(text.encode()) & 0x7FFFFF


def chain_of(coding: str) -> int:
    """A hash of a Content-Encoding; 7 bits do for the few that there are."""
    return hash_of(coding) & 0x7F


def kind_of(media_type: str) -> int:
    """A hash of a media type; those of one type/* are together, see ``kinds_of``."""
    return kinds_of(media_type.partition("/")[0])[0] | crc32(media_type.encode()) & 0x7FFF


def kinds_of(type_: str) -> tuple[int, int]:
    """The least and the greatest ``kind_of`` of ``type_``/*."""
    first = (crc32(type_.encode()) & 0xFF) << 15
    return first, first | 0x7FFF


def encode_tags(said: Sequence[str]) -> str:
    return msgspec.json.encode(said).decode() if said else ""


def decode_tags(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...]) if text else ()


def fingerprint(options: Options) -> str:
    """Of what freshness depends on."""
    return sha256(repr((options.freshness, options.rules)).encode()).hexdigest()


def storable(text: str) -> str:
    """``text`` for a parameter of a statement; half a surrogate pair is in no key."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def each(
    connection: sqlite3.Connection, statement: str, values: Sequence[object]
) -> Iterator[tuple[Any, ...]]:
    """The rows of ``statement`` with the values in ``{}``, some at a time; none without values."""
    if not values:
        return
    text = statement.format(_MARKS)
    for start in range(0, len(values), _IN_A_STATEMENT):
        few = list(values[start : start + _IN_A_STATEMENT])
        yield from connection.execute(text, few + [None] * (_IN_A_STATEMENT - len(few)))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def slowly(some: Iterable[_T]) -> Iterator[_T]:
    """With moments in which others surely get the interpreter's lock: SQLite's are too short."""
    for number, one in enumerate(some):
        if number % _BETWEEN_BREATHS == 0:
            time.sleep(_BREATH)
        yield one
