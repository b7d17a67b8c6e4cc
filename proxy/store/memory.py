"""The memory tier: the hottest records and small bodies, within a budget of octets.

Everything here happens on the loop's thread. Eviction is SIEVE: a queue in order of arrival and
a hand that walks from the oldest to the newest, spares what was reused since it last passed and
drops the rest; a hit costs one flag. A stored response whose generation has passed is not
answered any more, but its bodies stay for a while: an ``id`` names its octets for good, so a
record that is read again finds them here. When there is no room left, what is read from disk
takes the place of something only when it was read before, not long ago; else its body passes.

Records are held as octets, and those of the keys asked for most recently as values, too: values
are objects that the garbage collector walks, and with ten of them for each key that memory holds
it would stop the loop for a third of a second at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from proxy.bounded import Bounded
from proxy.store import records
from proxy.store.base import Found

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_BODY: Final = 256 * 1024
LARGEST_BODY: Final = 2**20

MOST_VALUES: Final = 2048  # keys
_PASSING: Final = 64  # bodies
_READ: Final = 1 << 14  # keys of which it is known that they were read
_PER_KEY: Final = 600  # octets that an entry takes beside its key, record and bodies
_PER_VARIANT: Final = 300
# What values take once they have been used: fields indexed, terms worked out (of a long line, what
# it lists one by one). 2.5 kB for a record of 231 octets, 6.8 for one of 1107; 26 for each octet at
# the worst.
_EACH, _PER_LINE, _LONG, _PER_OCTET = 1500, 280, 512, 20


class _Entry(msgspec.Struct, gc=False):
    """One key, in the queue between an older and a newer one until ``_forget``."""

    key: str
    record: bytes
    generation: int
    known: tuple[str, ...]  # ids of its variants
    ids: tuple[str, ...]  # of the bodies that are held
    weight: int
    visited: bool = False
    newer: _Entry | None = None
    older: _Entry | None = None


class MemoryTier:
    """Records by key and bodies by id, at most ``budget`` octets together.

    Beside them are the last 64 bodies that passed, of up to 32 KiB each.
    """

    __slots__ = (
        "_bodies",
        "_budget",
        "_entries",
        "_hand",
        "_newest",
        "_oldest",
        "_passing",
        "_read",
        "_values",
        "largest",
        "weight",
    )

    def __init__(self, budget: int) -> None:
        # An eighth is for the values.
        self._values: Bounded[str, Found] = Bounded(
            "values of records", budget // 8, _weight_of_value, MOST_VALUES
        )
        self._budget = budget - budget // 8
        # Octets of a body that is worth keeping: none takes much of the whole.
        self.largest = min(LARGEST_BODY, max(SMALL_BODY, budget // 64))
        self._entries: dict[str, _Entry] = {}
        self._bodies: dict[str, bytes] = {}
        self._passing: dict[str, bytes] = {}
        self._read: set[int] = set()  # hashes: an error here keeps one entry
        self._newest: _Entry | None = None
        self._oldest: _Entry | None = None
        self._hand: _Entry | None = None
        self.weight = 0

    def peek(self, key: str, generation: int) -> Found | None:
        """What is known of ``key`` if it was read in that generation."""
        value = self._values.get(key)
        if value is not None and value.generation == generation:
            return value
        entry = self._entries.get(key)
        if entry is None or entry.generation != generation:
            return None
        found = Found(records.decode(key, entry.record), generation)
        self._values.keep(key, found)
        return found

    def body(self, id_: str) -> bytes | None:
        return self._bodies.get(id_) or self._passing.get(id_)

    def take(self, key: str, found: Found, body: bytes, record: bytes) -> None:
        """What was read from disk: the only variant under ``key``."""
        weight = _PER_KEY + len(key) + len(record) + len(body)
        if self.weight + weight <= self._budget or self._is_read_again(key):
            self.keep(key, found, {found.variants[0].id: body}, record)
            return
        passing = self._passing
        passing[found.variants[0].id] = body
        if len(passing) > _PASSING:
            del passing[next(iter(passing))]

    def _is_read_again(self, key: str) -> bool:
        read, number = self._read, hash(key)
        if number in read:
            return True
        if len(read) >= _READ:
            read.clear()
        read.add(number)
        return False

    def touch(self, key: str) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.visited = True

    def keep(self, key: str, found: Found, bodies: Mapping[str, bytes], record: bytes) -> None:
        """Hold ``found`` as the ``record`` that it is of, with these and its known bodies."""
        held: dict[str, bytes] = {}
        weight = _PER_KEY + len(key) + len(record) + _PER_VARIANT * (len(found.variants) - 1)
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
            self._values.drop(key)
        if weight > self._budget:
            return
        if self.weight + weight > self._budget:
            self._make_room(weight)
        known = tuple([stored.id for stored in found.variants])
        entry = _Entry(key, record, found.generation, known, tuple(held), weight)
        self._entries[key] = entry
        entry.visited = old is not None and old.visited
        self._bodies.update(held)
        self._append(entry)

    def keep_body(self, key: str, id_: str, body: bytes) -> None:
        """Add a body to what is held of ``key``."""
        entry = self._entries.get(key)
        if entry is None or len(body) > self.largest or id_ in self._bodies:
            return
        if id_ in entry.known:
            entry.ids = (*entry.ids, id_)
            self._bodies[id_] = body
            entry.weight += len(body)
            self.weight += len(body)
            self._make_room(0)

    def drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._forget(entry)
            self._values.drop(key)

    def clear(self) -> None:
        self._passing.clear()
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


def _weight_of_value(key: str, found: Found) -> int:
    weight = len(key)
    for stored in found.variants:
        weight += _EACH
        for name, value in (*stored.head.fields.lines, *stored.selecting):
            size = len(value or "")
            weight += _PER_LINE + len(name) + (size if size < _LONG else _PER_OCTET * size)
    return weight
