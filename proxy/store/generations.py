"""Generations: what the processes that share a folder tell one another, in one mapped file.

Per slot of keys a stamp that differs whenever anything under them changed, and one that differs
whenever something was removed on purpose. A stamp is unique and written whole, never read,
incremented and written back, so no change of another process is lost. A stamp is odd while a
change is under way: what is read meanwhile is used once and not kept, even if whoever changes
it is killed between its commit and the stamp after it.

Marks are one octet per slot of keys: nothing was ever stored (0), something was (1), and it was
reused since the hand of eviction last passed (2). The file is trusted only within one boot of
the machine: after a power loss it may be older than the rows.
"""

from __future__ import annotations

import itertools
import secrets
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Memo
from proxy.store import mapped
from proxy.store.crc import crc32

if TYPE_CHECKING:
    from pathlib import Path

MOST_PROCESSES: Final = 64
NOT_KEPT: Final = -1  # a generation that no key ever has

_MAGIC: Final = b"forecache generations 2\n"
_SLOTS, _MARKS = 1 << 16, 1 << 20
_SLOT_MASK, _MARK_MASK = _SLOTS - 1, _MARKS - 1
# All but the last count in words.
_EPOCH, _HAND, _BIRTH, _IN_FLIGHT, _HEADER = 16, 17, 18, 32, 4096
SLOTS: Final = _SLOTS
SIZE: Final = _HEADER + 2 * 8 * _SLOTS + _MARKS


_OCTETS: Final = 2 * 2**20  # of keys whose sums are remembered


class Stamps(NamedTuple):
    """The stamps of all slots at one time; those of another ``birth`` say nothing of these."""

    birth: int
    epoch: int
    changed: memoryview[int]


def _sum(key: str) -> int:
    return crc32(key.encode())


def slot_of(key: str) -> int:
    """The place of the key's stamp in ``Stamps.changed``."""
    return crc32(key.encode()) & _SLOT_MASK


def read(path: Path) -> Stamps | None:
    """For whoever only looks; None if no process made the file within this boot. Blocks."""
    if mapped.size(path, _MAGIC) != SIZE:
        return None
    with path.open("rb") as file:
        octets = file.read(_HEADER + 8 * _SLOTS)
    words = memoryview(octets).cast("Q")
    first = _HEADER // 8
    return Stamps(words[_BIRTH], words[_EPOCH], words[first:])


class Generations:
    """The mapped file. Any thread may read and write: every access is one word or one octet."""

    def __init__(self, path: Path, *, anything_stored: bool) -> None:
        """Open or create. Raises OSError. The caller holds the folder's lock.

        ``anything_stored``: there may be rows that a new file knows nothing of.
        """
        if mapped.size(path, _MAGIC) != SIZE:
            _create(path, 1 if anything_stored else 0)
        self._map = mapped.open_map(path)
        whole = memoryview(self._map)
        self._words = whole[:_HEADER].cast("Q")
        self.changed = whole[_HEADER : _HEADER + 8 * _SLOTS].cast("Q")
        self.removed = whole[_HEADER + 8 * _SLOTS : SIZE - _MARKS].cast("Q")
        self.marks = whole[SIZE - _MARKS :]
        self._whole = whole
        self._stamps = itertools.count(secrets.randbits(30) << 33, 2)
        # A hit asks for the same few keys over and over: 30 ns instead of 200.
        crcs = Memo("sums of keys", _sum, _OCTETS, longest=512, each=100, per_octet=1)
        self._crc = crcs.__getitem__

    def generation(self, key: str) -> int:
        return self.changed[self._crc(key) & _SLOT_MASK]

    def cell(self, key: str) -> tuple[memoryview[int], int]:
        """Where ``generation`` reads it."""
        return self.changed, self._crc(key) & _SLOT_MASK

    def removals(self, key: str) -> int:
        return self.removed[self._crc(key) & _SLOT_MASK]

    def changing(self, key: str) -> None:
        """Called inside the write transaction, before the commit."""
        self.changed[self._crc(key) & _SLOT_MASK] = next(self._stamps) | 1

    def settled(self, key: str) -> int:
        """Called after the commit or rollback; the new generation."""
        stamp = next(self._stamps)
        self.changed[self._crc(key) & _SLOT_MASK] = stamp
        return stamp

    def removing(self, key: str) -> None:
        """Called inside the write transaction that removes on purpose (not by eviction)."""
        self.removed[self._crc(key) & _SLOT_MASK] = next(self._stamps)

    def storing(self, key: str) -> None:
        """Called inside the write transaction that stores something under the key."""
        mark = self._crc(key) & _MARK_MASK
        if not self.marks[mark]:
            self.marks[mark] = 1

    def maybe_stored(self, key: str) -> bool:
        return self.marks[self._crc(key) & _MARK_MASK] != 0

    def touch(self, key: str) -> None:
        self.marks[self._crc(key) & _MARK_MASK] = 2

    def passed(self, key: str) -> bool:
        """Whether the key was reused since this was last asked."""
        mark = crc32(key.encode()) & _MARK_MASK
        visited = self.marks[mark] == 2
        if visited:
            self.marks[mark] = 1
        return visited

    @property
    def seal(self) -> int:
        """Another after any change of anything; of 32 bits, 0.2 ms."""
        return crc32(self.changed)

    @property
    def epoch(self) -> int:
        """Differs when the database was replaced by a new one."""
        return self._words[_EPOCH]

    def next_epoch(self) -> int:
        self._words[_EPOCH] = next(self._stamps)
        return self._words[_EPOCH]

    @property
    def hand(self) -> int:
        """The row where eviction stands; moved only inside write transactions."""
        return self._words[_HAND]

    @hand.setter
    def hand(self, rowid: int) -> None:
        self._words[_HAND] = rowid

    def set_in_flight(self, process: int, octets: int) -> None:
        """What the spool files of that process take, or have been promised."""
        self._words[_IN_FLIGHT + process] = octets

    def in_flight(self) -> int:
        """The same of all processes."""
        return sum(self._words[_IN_FLIGHT : _IN_FLIGHT + MOST_PROCESSES])

    def close(self) -> None:
        for view in (self._words, self.changed, self.removed, self.marks, self._whole):
            view.release()
        self._map.close()


def _create(path: Path, mark: int) -> None:
    birth = (secrets.randbits(62) + 1).to_bytes(8, sys.byteorder)
    with mapped.created(path, _MAGIC) as file:
        file.write(bytes(8 * _BIRTH - file.tell()) + birth)
        file.write(bytes(SIZE - _MARKS - file.tell()))
        file.write(bytes((mark,)) * _MARKS)
