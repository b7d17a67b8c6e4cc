"""Answers of the catalogue from its index.

A page takes a bounded time. Few rows are sorted; of many the index of the order is walked, some
thousands of rows between two looks at the clock: where what is looked for is rare, a page ends
early, with a cursor to go on from.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.policy.rules import TargetGlob
from proxy.store import catalogue_queries as queries
from proxy.store.catalogue_queries import (
    EVERY_KEY,
    EVERYWHERE,
    ORDERS,
    Condition,
    Glob,
    Prefix,
    all_of,
    within,
)
from proxy.store.catalogue_rows import COLUMNS, Entry, each, entry, host_of, storable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from proxy.store.catalogue_queries import Position, Query, Range, Selector

_PATIENCE: Final = 0.02  # seconds
_AT_ONCE: Final = 4000  # rows between two looks at the clock
_FEW: Final = 4000  # rows that are sorted rather than looked for in their order

_Found = list[tuple[Any, int]]

_ENTRIES: Final = (
    f"SELECT {COLUMNS} FROM entries e CROSS JOIN store.Cache c"  # noqa: S608
    " ON c.rowid = e.id AND c.key = 'm' || e.key WHERE e.id IN ({})"
)
_STORED: Final = "SELECT 1 FROM store.Cache WHERE key >= ? AND key < ? AND raw = 1 LIMIT 1"
_STATES: Final = (
    "SELECT fresh_until > ? AS fresh, count(*), sum(octets) FROM entries GROUP BY fresh"
)
_TYPES: Final = (
    "SELECT type, count(*), sum(octets) FROM entries GROUP BY kind, type ORDER BY 3 DESC LIMIT 10"
)
_HOSTS: Final = (
    "SELECT min(key), count(*), sum(octets) FROM entries GROUP BY host ORDER BY 3 DESC LIMIT 10"
)


class Page(NamedTuple):
    """``cursor`` is "" at the end."""

    entries: tuple[Entry, ...]
    cursor: str

    def uses(self, key: str) -> tuple[int, float]:
        """Hits and last use (0: never) of the key, as far as this page knows it."""
        known = (entry for entry in self.entries if entry.key == key)
        return next(((entry.hits, entry.used) for entry in known), (0, 0.0))


class Share(NamedTuple):
    """What entries have in common, how many they are, and their octets."""

    name: str
    keys: int
    octets: int


class Totals(NamedTuple):
    """Of the whole index; of hosts and media types the ten with the most octets."""

    keys: int
    octets: int
    states: tuple[Share, ...]
    types: tuple[Share, ...]
    hosts: tuple[Share, ...]


class _Order(NamedTuple):
    column: str
    down: bool

    @property
    def name(self) -> str:
        """Of its index."""
        return f"by_{self.column}"

    @property
    def columns(self) -> tuple[str, str]:
        """Those of its index that no two rows share; that of keys ends in the id by itself."""
        return f"e.{self.column}", "e.id" if self.column == "key" else "e.place"

    @property
    def clause(self) -> str:
        way = " DESC" if self.down else ""
        return f"ORDER BY {', '.join(column + way for column in self.columns)}"

    def beyond(self, position: Position | None) -> Condition:
        if position is None:
            return EVERYWHERE
        return Condition(
            f"({', '.join(self.columns)}) {'<' if self.down else '>'} (?, ?)", position
        )

    def up_to(self, position: Position | None) -> Condition:
        if position is None:
            return EVERYWHERE
        return Condition(
            f"({', '.join(self.columns)}) {'>=' if self.down else '<='} (?, ?)", position
        )


class Reader:
    """Answers upon a connection of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    def page(self, query: Query, now: float) -> Page:
        """As ``Catalogue.page``."""
        column, against = ORDERS[query.sort]
        order = _Order(column, query.descending is not against)
        after, rest, most = queries.decoded(query), None, query.limit + 1
        ranges, filters = queries.ranges(query), queries.filters(query, now)
        if not self._has("by_key", order.name) or self._tags_few(query):
            filters.append(queries.of_tag(query))
            found = self._sorted(order, ranges, filters, after, most)
            return self._page(query, found, None)
        filters.append(queries.has_tag(query))
        if column == "key":
            found, rest = self._walked(order, [within([o]) for o in ranges], filters, after, most)
        elif EVERY_KEY not in ranges and self._are_few(ranges):
            found = self._sorted(order, ranges, filters, after, most)
        else:
            spans = [queries.state(query, now) if column == "fresh_until" else EVERYWHERE]
            found, rest = self._walked(order, spans, [within(ranges), *filters], after, most)
        return self._page(query, found, rest)

    def _page(self, query: Query, found: _Found, rest: Position | None) -> Page:
        """``found`` has one more than is wanted if there are more."""
        if len(found) > query.limit:
            found = found[:-1]
            rest = found[-1]
        entries = self._entries([id_ for _, id_ in found])
        there = tuple(entries[id_] for _, id_ in found if id_ in entries)
        return Page(there, "" if rest is None else queries.encoded(query, rest))

    def _has(self, *indexes: str) -> bool:
        names = {name for (name,) in self._sql.execute("SELECT name FROM sqlite_master")}
        return names.issuperset(indexes)

    def _tags_few(self, query: Query) -> bool:
        """Whether the entries with the tag of the query are few; not without one."""
        if not query.tag:
            return False
        text = "SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = ? LIMIT ?)"
        found = self._sql.execute(text, (storable(query.tag), _FEW + 1))
        return int(found.fetchone()[0]) <= _FEW

    def _are_few(self, ranges: Sequence[Range]) -> bool:
        left = _FEW
        for one in ranges:
            some = within([one])
            text = f"SELECT count(*) FROM (SELECT 1 FROM entries e {some.where} LIMIT ?)"  # noqa: S608
            left -= self._sql.execute(text, (*some.parameters, left + 1)).fetchone()[0]
        return left >= 0

    def _sorted(
        self,
        order: _Order,
        ranges: Sequence[Range],
        filters: Sequence[Condition],
        after: Position | None,
        limit: int,
    ) -> _Found:
        """The first of all that there are."""
        found: _Found = []
        for one in ranges:
            some = all_of(within([one]), order.beyond(after), *filters)
            text = (
                f"SELECT e.{order.column}, e.id FROM entries e"  # noqa: S608
                f" {some.where} {order.clause} LIMIT ?"
            )
            found += self._sql.execute(text, (*some.parameters, limit))
        return sorted(found, reverse=order.down)[:limit]

    def _walked(
        self,
        order: _Order,
        spans: Sequence[Condition],
        filters: Sequence[Condition],
        after: Position | None,
        limit: int,
    ) -> tuple[_Found, Position | None]:
        """What was found in time, and where the walk ended if not at the end.

        ``spans`` are parts of the index, ``filters`` say what is wanted of them.
        """
        until = time.perf_counter() + _PATIENCE
        found: _Found = []
        wanted = all_of(*filters)
        for span in reversed(spans) if order.down else spans:
            end = after
            while len(found) < limit:
                start = all_of(span, order.beyond(end))
                end = self._ahead(order, start) if wanted.sql else None
                some = all_of(start, order.up_to(end), wanted)
                found += self._select(order, some, limit - len(found), 0)
                if end is None:
                    break
                if time.perf_counter() > until and len(found) < limit:
                    return found, end
        return found, None

    def _ahead(self, order: _Order, start: Condition) -> Position | None:
        rows = self._select(order, start, 1, _AT_ONCE)
        return rows[0] if rows else None

    def _select(self, order: _Order, some: Condition, limit: int, offset: int) -> _Found:
        text = (
            f"SELECT e.{order.column}, e.id FROM entries e INDEXED BY {order.name}"  # noqa: S608
            f" {some.where} {order.clause} LIMIT ? OFFSET ?"
        )
        return self._sql.execute(text, (*some.parameters, limit, offset)).fetchall()

    def _entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        """Those of which the record is still there."""
        return {row[0]: entry(row) for row in each(self._sql, _ENTRIES, ids)}

    def count(self, selector: Selector) -> tuple[int, int]:
        """As ``Catalogue.count``."""
        if isinstance(selector, Glob):
            glob, keys, octets = TargetGlob(selector.glob), 0, 0
            for key, size in self._selected("e.key, e.octets", selector, ""):
                if glob.matches(key):
                    keys, octets = keys + 1, octets + size
            return keys, octets
        rows = [*self._selected("count(*), coalesce(sum(e.octets), 0)", selector, None)]
        return sum(row[0] for row in rows), sum(row[1] for row in rows)

    def keys(self, selector: Selector, after: str, limit: int) -> list[str]:
        """As ``Catalogue.keys``."""
        found = (key for (key,) in self._selected("e.key", selector, after))
        if isinstance(selector, Glob):
            glob = TargetGlob(selector.glob)
            found = (key for key in found if glob.matches(key))
        return list(islice(found, limit))

    def stored(self, prefix: str) -> bool:
        """As ``Catalogue.stored``."""
        ((first, end),), _ = queries.selection(Prefix(f"m{prefix}"))
        return self._sql.execute(_STORED, (first, end)).fetchone() is not None

    def _selected(
        self, columns: str, selector: Selector, after: str | None
    ) -> Iterator[tuple[Any, ...]]:
        """``columns`` of what is selected; in the order of keys from ``after``, if there is one."""
        ranges, tagged = queries.selection(selector)
        order = ""
        if after is not None:
            ranges = queries.intersection(ranges, [(storable(after) + "\0", None)])
            order = "ORDER BY e.key"
        for one in ranges:
            some = all_of(within([one]), tagged)
            text = f"SELECT {columns} FROM entries e {some.where} {order}"  # noqa: S608
            yield from self._sql.execute(text, some.parameters)

    def totals(self, now: float) -> Totals:
        """As ``Catalogue.totals``."""
        states = dict.fromkeys(("fresh", "stale"), (0, 0))
        for fresh, keys, octets in self._sql.execute(_STATES, (now,)):
            states["fresh" if fresh else "stale"] = (keys, octets)
        types = [Share(*row) for row in self._sql.execute(_TYPES)]
        hosts = [Share(host_of(key)[1], *row) for key, *row in self._sql.execute(_HOSTS)]
        return Totals(
            sum(keys for keys, _ in states.values()),
            sum(octets for _, octets in states.values()),
            tuple(Share(name, *both) for name, both in states.items()),
            tuple(types),
            tuple(hosts),
        )
