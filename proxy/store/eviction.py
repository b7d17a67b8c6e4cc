"""What leaves when room is needed: SIEVE over the records on disk, in the order they came.

A hand walks from the oldest key to the newest and around again; it spares the keys that were
reused since it last passed and evicts the others, record and bodies together. What can be made
again leaves before anything else. Chosen over LRU
because a reuse costs one octet in shared memory instead of a write to the database, and over
S3-FIFO because it needs no ghost queue on disk. The hand and the marks are shared, so all
processes turn one sieve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from proxy.store import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from proxy.store.reading import RecordRow

# So many rows are looked at in one transaction: some 10 ms in which others cannot write.
MOST_EXAMINED: Final = 1024
_ROWS: Final = 64
# So much leaves before it is asked again whether that is enough.
_AT_ONCE: Final = 64 * 1024
_ROW: Final = 1024


class Rows(Protocol):
    """The records, and how to be rid of them."""

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]: ...

    def forms(self, limit: int) -> list[RecordRow]: ...

    def delete_rows(self, rowids: Sequence[int]) -> None: ...

    def delete_bodies(self, ids: Sequence[str]) -> None: ...

    def delete_bodies_of(self, key: str) -> None: ...


class Marks(Protocol):
    """The hand, and which keys were reused."""

    @property
    def hand(self) -> int: ...

    @hand.setter
    def hand(self, rowid: int) -> None: ...

    def passed(self, key: str) -> bool: ...


def evict(rows: Rows, marks: Marks, enough: Callable[[], bool]) -> list[str] | None:
    """Evict until ``enough``, inside a transaction: the keys that left; None: nothing is left.

    An empty list means that many keys were spared: call it again in a new transaction.
    """
    evicted: list[str] = []
    for leaving in _unused(rows.forms(_ROWS), marks):
        leaving.delete(rows)
        evicted += leaving.keys
        if enough():
            return evicted
    examined, from_the_start = 0, False
    while examined < MOST_EXAMINED:
        page = rows.records_after(marks.hand, _ROWS)
        if not page:
            if from_the_start:
                return evicted or None
            marks.hand, from_the_start = 0, True
            continue
        from_the_start = False
        examined += len(page)
        for leaving in _unused(page, marks, turn=True):
            leaving.delete(rows)
            evicted += leaving.keys
            if enough():
                return evicted
    return evicted


class _Leaving:
    """Keys that leave together, with all that is stored under them."""

    __slots__ = ("_damaged", "_ids", "_rowids", "keys", "octets")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.octets = 0
        self._rowids: list[int] = []
        self._ids: list[str] = []
        self._damaged: list[str] = []

    def add(self, row: RecordRow) -> None:
        self.keys.append(row.key)
        self._rowids.append(row.rowid)
        self.octets += _ROW
        try:
            bodies = records.bodies(row.key, row.record)
        except records.DamagedRecord:
            self._damaged.append(row.key)
            self.octets += _AT_ONCE  # perhaps
            return
        for id_, length in bodies:
            self._ids.append(id_)
            self.octets += length

    def delete(self, rows: Rows) -> None:
        """The bodies that the records name or, where one is damaged, those tagged with its key."""
        rows.delete_bodies(self._ids)
        for key in self._damaged:
            rows.delete_bodies_of(key)
        rows.delete_rows(self._rowids)


def _unused(page: Sequence[RecordRow], marks: Marks, *, turn: bool = False) -> Iterator[_Leaving]:
    """Those that were not reused, a few at a time. ``turn``: the hand goes along."""
    leaving = _Leaving()
    for row in page:
        if turn:
            marks.hand = row.rowid
        if marks.passed(row.key):
            continue
        leaving.add(row)
        if leaving.octets >= _AT_ONCE:
            yield leaving
            leaving = _Leaving()
    if leaving.keys:
        yield leaving
