"""The memory tier: the hottest records and small bodies, within a budget of octets.

Everything here happens on the loop's thread. Eviction is SIEVE: a queue in order of arrival and
a hand that walks from the oldest to the newest, spares what was reused since it last passed and
drops the rest; a hit costs one flag. A stored response whose generation has passed is not
answered any more, but its bodies stay for a while: an ``id`` names its octets for good, so a
record that is read again finds them here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.store.base import Found

SMALL_BODY: Final = 256 * 1024
LARGEST_BODY: Final = 2**20

# What the objects of one key and of one octet of its record take once they have been used
# (fields indexed, terms worked out): 3.2 kB for a record of 293 octets, 14 kB for one of 1235.
_PER_KEY: Final = 500
_PER_RECORD_OCTET: Final = 11


class _Entry:
    __slots__ = ("found", "ids", "key", "newer", "older", "visited", "weight")

    def __init__(self, key: str, found: Found, ids: tuple[str, ...], weight: int) -> None:
        self.key = key
        self.found = found
        self.ids = ids
        self.weight = weight
        self.visited = False
        self.newer: _Entry | None = None
        self.older: _Entry | None = None


class MemoryTier:
    """Found records by key and bodies by id, at most ``budget`` octets together."""

    __slots__ = (
        "_bodies",
        "_budget",
        "_entries",
        "_hand",
        "_newest",
        "_oldest",
        "largest",
        "weight",
    )

    def __init__(self, budget: int) -> None:
        self._budget = budget
        # Octets of a body that is worth keeping: none takes much of the whole.
        self.largest = min(LARGEST_BODY, max(SMALL_BODY, budget // 64))
        self._entries: dict[str, _Entry] = {}
        self._bodies: dict[str, bytes] = {}
        self._newest: _Entry | None = None
        self._oldest: _Entry | None = None
        self._hand: _Entry | None = None
        self.weight = 0

    def peek(self, key: str, generation: int) -> Found | None:
        """What is known of ``key`` if it was read in that generation."""
        entry = self._entries.get(key)
        if entry is None or entry.found.generation != generation:
            return None
        return entry.found

    def body(self, id_: str) -> bytes | None:
        return self._bodies.get(id_)

    def touch(self, key: str) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.visited = True

    def keep(self, key: str, found: Found, bodies: Mapping[str, bytes], record: int) -> None:
        """Hold ``found``, whose record has that many octets, with these and its known bodies."""
        held: dict[str, bytes] = {}
        weight = _PER_KEY + _PER_RECORD_OCTET * record
        for stored in found.variants:
            body = bodies.get(stored.id)
            if body is None or len(body) > self.largest:
                body = self._bodies.get(stored.id)
            if body is not None:
                held[stored.id] = body
                weight += len(body)
        old = self._entries.pop(key, None)
        if old is not None:
            self._forget(old)
        if weight > self._budget:
            return
        if self.weight + weight > self._budget:
            self._make_room(weight)
        entry = self._entries[key] = _Entry(key, found, tuple(held), weight)
        entry.visited = old is not None and old.visited
        self._bodies.update(held)
        self._append(entry)

    def keep_body(self, key: str, id_: str, body: bytes) -> None:
        """Add a body to what is held of ``key``."""
        entry = self._entries.get(key)
        if entry is None or len(body) > self.largest or id_ in self._bodies:
            return
        if any(stored.id == id_ for stored in entry.found.variants):
            entry.ids = (*entry.ids, id_)
            self._bodies[id_] = body
            entry.weight += len(body)
            self.weight += len(body)
            self._make_room(0)

    def drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._forget(entry)

    def clear(self) -> None:
        for key in list(self._entries):
            self.drop(key)

    def _append(self, entry: _Entry) -> None:
        entry.older = self._newest
        if self._newest is None:
            self._oldest = entry
        else:
            self._newest.newer = entry
        self._newest = entry
        self.weight += entry.weight

    def _forget(self, entry: _Entry) -> None:
        if self._hand is entry:
            self._hand = entry.newer
        if entry.newer is None:
            self._newest = entry.older
        else:
            entry.newer.older = entry.older
        if entry.older is None:
            self._oldest = entry.newer
        else:
            entry.older.newer = entry.newer
        entry.newer = entry.older = None
        self.weight -= entry.weight
        for id_ in entry.ids:
            self._bodies.pop(id_, None)

    def _make_room(self, weight: int) -> None:
        while self.weight + weight > self._budget:
            self._evict()

    def _evict(self) -> None:
        entry = self._hand or self._oldest
        while entry is not None and entry.visited:
            entry.visited = False
            entry = entry.newer or self._oldest
        if entry is not None:
            self._hand = entry
            self.drop(entry.key)
