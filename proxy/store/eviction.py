"""What leaves when room is needed: SIEVE over the records on disk, in the order they came.

A hand walks from the oldest key to the newest and around again; it spares the keys that were
reused since it last passed and evicts the others, record and bodies together. Chosen over LRU
because a reuse costs one octet in shared memory instead of a write to the database, and over
S3-FIFO because it needs no ghost queue on disk. The hand and the marks are shared, so all
processes turn one sieve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from proxy.store import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.store.disk import RecordRow

# So many rows are looked at in one transaction: some 10 ms in which others cannot write.
MOST_EXAMINED: Final = 1024
_ROWS: Final = 64


class Rows(Protocol):
    """The records, and how to be rid of them."""

    def records_after(self, rowid: int, limit: int) -> list[RecordRow]: ...

    def delete_row(self, rowid: int) -> None: ...

    def delete_body(self, id_: str) -> None: ...

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
    examined, from_the_start = 0, False
    while examined < MOST_EXAMINED:
        page = rows.records_after(marks.hand, _ROWS)
        if not page:
            if from_the_start:
                return evicted or None
            marks.hand, from_the_start = 0, True
            continue
        from_the_start = False
        for row in page:
            examined += 1
            marks.hand = row.rowid
            if marks.passed(row.key):
                continue
            delete_bodies(rows, row.key, row.record)
            rows.delete_row(row.rowid)
            evicted.append(row.key)
            if enough():
                return evicted
    return evicted


def delete_bodies(rows: Rows, key: str, record: bytes) -> None:
    """Delete the bodies the record names or, when it is damaged, those tagged with its key."""
    try:
        variants = records.decode(key, record)
    except records.DamagedRecord:
        rows.delete_bodies_of(key)
    else:
        for stored in variants:
            rows.delete_body(stored.id)
