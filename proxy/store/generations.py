"""Generations: what the processes that share a folder tell one another, in one mapped file.

Per slot of keys a stamp that differs whenever anything under them changed. A stamp is unique and
written whole, never read, incremented and written back, so no change of another process is lost.
It is odd while a change is under way: what is read meanwhile is used once and not kept, even if
whoever changes it is killed between its commit and the stamp after it; then it is settled when
somebody meets it (``operations.Settle``), or at the next start.

What was removed on purpose is told by four slots of each key, which get the time: a removal of
the key changes the least of them, one of another key hardly ever all four. Places are a keyed hash
of the key, so that nobody who chooses URLs can choose which of them meet.

Marks are one octet per slot of keys: nothing was ever stored, something was, and it was reused
since the hand of eviction last passed. The file is trusted only within one boot of the machine:
after a power loss it may be older than the rows. Nothing in it is believed that a flipped bit, or a
page of zeros, would make harmful: what never changes stands there twice with a checksum, other
words of the header have a check each (``sealed``), and of marks one alone says that there is
nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import sys
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Memo
from proxy.store import mapped, sealed
from proxy.store.crc import crc32

if TYPE_CHECKING:
    from pathlib import Path

_LOG: Final = logging.getLogger(__name__)

MOST_PROCESSES: Final = 64
NOT_KEPT: Final = -1  # a generation that no key ever has

_MAGIC: Final = b"forecache generations 3\n"
_SLOTS, _REMOVED, _MARKS = 1 << 16, 1 << 17, 1 << 20
_SLOT_MASK, _REMOVED_MASK, _MARK_MASK = _SLOTS - 1, _REMOVED - 1, _MARKS - 1
_PLATES: Final = (0, 2048)  # where what never changes stands
_EPOCH, _HAND, _IN_FLIGHT, _HEADER = 16, 17, 32, 4096  # all but the last count in words
_OCTETS: Final = 2 * 2**20  # of keys whose hashes are remembered
SLOTS: Final = _SLOTS
SIZE: Final = _HEADER + 8 * _SLOTS + 8 * _REMOVED + _MARKS

# No single flipped bit, nor a page of zeros, makes one of these of another that says more.
_NOTHING, _STORED, _REUSED = 0x96, 0x33, 0x69

_SECRET: Final = 16
_SUM: Final = 8


class Plate(NamedTuple):
    """What never changes in a file: which it is, and the secret that its places depend on."""

    start: bytes
    birth: int
    secret: bytes

    def __bytes__(self) -> bytes:
        said = self.start.ljust(128 - 8 - _SECRET - _SUM, b"\0")
        said += self.birth.to_bytes(8, sys.byteorder) + self.secret
        return said + blake2b(said, digest_size=_SUM).digest()

    @property
    def is_of_now(self) -> bool:
        """Whether the file was made within this boot."""
        return self.start == mapped.beginning(_MAGIC)

    @classmethod
    def new(cls, secret: bytes = b"") -> Plate:
        birth = secrets.randbits(62) + 1
        return cls(mapped.beginning(_MAGIC), birth, secret or secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, header: bytes) -> Plate | None:
        """That of the first place where it is sound."""
        for place in _PLATES:
            said = header[place : place + 128]
            if said.startswith(_MAGIC):
                start = said[: -8 - _SECRET - _SUM].rstrip(b"\0")
                birth = int.from_bytes(said[-8 - _SECRET - _SUM : -_SECRET - _SUM], sys.byteorder)
                found = cls(start, birth, said[-_SECRET - _SUM : -_SUM])
                if bytes(found) == said:
                    return found
        return None


class Hash:
    """A number of 64 bits for each key, which nobody can tell who has not the secret."""

    __slots__ = ("_keyed",)

    def __init__(self, secret: bytes) -> None:
        self._keyed = blake2b(digest_size=8, key=secret)

    def __call__(self, key: str) -> int:
        keyed = self._keyed.copy()  # the secret is worked in already
        keyed.update(key.encode())
        return int.from_bytes(keyed.digest())


class Stamps(NamedTuple):
    """The stamps of all slots at one time; those of another ``birth`` say nothing of these."""

    birth: int
    epoch: int
    changed: memoryview[int]


def slot_of(hashed: int) -> int:
    """The place in ``Stamps.changed`` of the stamp of a key with that hash."""
    return hashed & _SLOT_MASK


def read(path: Path) -> Stamps | None:
    """For whoever only looks; None if no process made the file within this boot. Blocks."""
    octets = mapped.read(path, SIZE, _HEADER + 8 * _SLOTS)
    plate = Plate.parse(octets)
    if plate is None or not plate.is_of_now:
        return None
    words = memoryview(octets).cast("Q")
    return Stamps(plate.birth, sealed.opened(words[_EPOCH]) or 0, words[_HEADER // 8 :])


def secret(path: Path) -> bytes:
    """That of the file, whenever it was made; b"" if there is none to be had. Blocks."""
    plate = Plate.parse(mapped.read(path, SIZE, _HEADER))
    return b"" if plate is None else plate.secret


class Generations:
    """The mapped file. Any thread may read and write: every access is one word or one octet."""

    def __init__(self, path: Path, *, anything_stored: bool) -> None:
        """Open or create. Raises OSError. The caller holds the folder's lock.

        ``anything_stored``: there may be rows that a new file knows nothing of.
        """
        self._path = path
        self._stamps = itertools.count((secrets.randbits(30) + 1) << 33, 2)
        self._epoch = 0  # the word
        self._open(_STORED if anything_stored else _NOTHING, b"")

    def _open(self, mark: int, known: bytes) -> None:
        octets = mapped.read(self._path, 0, _HEADER)
        plate = Plate.parse(octets)
        if plate is None or not plate.is_of_now or not mapped.read(self._path, SIZE, 1):
            self._tell_others()
            plate = Plate.new(known if plate is None else plate.secret)
            self._create(plate, mark)
        self._map = mapped.open_map(self._path)
        self._identity = mapped.identity(self._path)
        self._plate = bytes(plate)
        self._hash = Hash(plate.secret)
        self._secret = plate.secret
        # What the places of a key depend on: 30 ns instead of 700 for the keys of hits.
        hashes = Memo("hashes of keys", self._hash, _OCTETS, longest=512, each=100, per_octet=1)
        self.hashed = hashes.__getitem__
        self._view()
        self.mend()

    def _view(self) -> None:
        whole = memoryview(self._map)
        end = _HEADER + 8 * _SLOTS
        self._words = whole[:_HEADER].cast("Q")
        self.changed = whole[_HEADER:end].cast("Q")
        self.removed = whole[end : SIZE - _MARKS].cast("Q")
        self.marks = whole[SIZE - _MARKS :]
        self._whole = whole

    def _create(self, plate: Plate, mark: int) -> None:
        header = bytearray(_HEADER)
        for place in _PLATES:
            header[place : place + 128] = bytes(plate)
        with mapped.created(self._path, _MAGIC) as file:
            file.write(header[file.tell() :])
            # No stamp is 0: that is what a page of zeros would say.
            file.write(next(self._stamps).to_bytes(8, sys.byteorder) * _SLOTS)
            file.write(bytes(8 * _REMOVED))
            file.write(bytes((mark,)) * _MARKS)

    def _tell_others(self) -> None:
        """Whoever has the file mapped that is about to be replaced shall look for the new one."""
        if not mapped.read(self._path, SIZE, 1):
            return
        with contextlib.suppress(OSError), mapped.open_map(self._path) as other:
            other[8 * _EPOCH : 8 * _EPOCH + 8] = _new_epoch().to_bytes(8, sys.byteorder)
            stamps = next(self._stamps).to_bytes(8, sys.byteorder) * _SLOTS
            other[_HEADER : _HEADER + len(stamps)] = stamps

    @property
    def is_replaced(self) -> bool:
        """Whether another file is in its place by now. Blocks."""
        return mapped.identity(self._path) != self._identity

    def reopen(self) -> None:
        """Take the file that is in its place now, or make one. Raises OSError.

        The caller holds the folder's lock. What was handed out of the old one has passed.
        """
        self.next_epoch()
        self._distrust()
        self._open(_STORED, self._secret)

    def mend(self) -> None:
        """Write what never changes as it was, where it is damaged."""
        plates = [self._map[place : place + 128] for place in _PLATES]
        epoch = sealed.seal(self.epoch)
        if epoch == self._words[_EPOCH] and plates == [self._plate] * len(plates):
            return
        _LOG.warning("%s is damaged: mended", self._path)
        if self._plate not in plates:
            self._distrust()
        for place in _PLATES:
            self._map[place : place + 128] = self._plate
        self._words[_EPOCH] = epoch

    def _distrust(self) -> None:
        """Everything may have changed, may have been removed, and may be stored."""
        now = time.monotonic_ns()
        self._map[_HEADER:] = b"".join(
            (
                next(self._stamps).to_bytes(8, sys.byteorder) * _SLOTS,
                now.to_bytes(8, sys.byteorder) * _REMOVED,
                bytes((_STORED,)) * _MARKS,
            )
        )

    def settle_all(self) -> None:
        """No change is under way. The caller knows that no other process has the folder."""
        for slot, stamp in enumerate(self.changed):
            if not is_settled(stamp):
                self.changed[slot] = next(self._stamps)

    def generation(self, key: str) -> int:
        return self.changed[self.hashed(key) & _SLOT_MASK]

    def cell(self, key: str) -> tuple[memoryview[int], int]:
        """Where ``generation`` reads it."""
        return self.changed, self.hashed(key) & _SLOT_MASK

    def removals(self, key: str) -> int:
        hashed = self.hashed(key)
        first, step, removed = hashed >> 20, hashed >> 40 | 1, self.removed
        return min(
            removed[first & _REMOVED_MASK],
            removed[first + step & _REMOVED_MASK],
            removed[first + 2 * step & _REMOVED_MASK],
            removed[first + 3 * step & _REMOVED_MASK],
        )

    def changing(self, key: str) -> None:
        """Called inside the write transaction, before the commit."""
        self.changed[self.hashed(key) & _SLOT_MASK] = next(self._stamps) | 1

    def settled(self, key: str) -> int:
        """Called after the commit or rollback; the new generation."""
        stamp = next(self._stamps)
        self.changed[self.hashed(key) & _SLOT_MASK] = stamp
        return stamp

    def removing(self, key: str) -> None:
        """Called inside the write transaction that removes on purpose (not by eviction)."""
        hashed, now = self.hashed(key), time.monotonic_ns()
        first, step = hashed >> 20, hashed >> 40 | 1
        for slot in range(first, first + 4 * step, step):
            self.removed[slot & _REMOVED_MASK] = now

    def storing(self, key: str) -> None:
        """Called inside the write transaction that stores something under the key."""
        mark = self.hashed(key) & _MARK_MASK
        if self.marks[mark] == _NOTHING:
            self.marks[mark] = _STORED

    def maybe_stored(self, key: str) -> bool:
        return self.marks[self.hashed(key) & _MARK_MASK] != _NOTHING

    def touch(self, key: str) -> None:
        self.marks[self.hashed(key) & _MARK_MASK] = _REUSED

    def passed(self, key: str) -> bool:
        """Whether the key was reused since this was last asked."""
        mark = self._hash(key) & _MARK_MASK
        visited = self.marks[mark] == _REUSED
        if visited:
            self.marks[mark] = _STORED
        return visited

    @property
    def seal(self) -> int:
        """Another after any change of anything; of 32 bits, 0.2 ms."""
        return crc32(self.changed)

    @property
    def epoch(self) -> int:
        """Differs when the database, or another file, was replaced by a new one."""
        word = self._words[_EPOCH]
        if word != self._epoch and sealed.opened(word) is not None:
            self._epoch = word
        return self._epoch >> 16

    def next_epoch(self) -> int:
        self._words[_EPOCH] = _new_epoch()
        return self.epoch

    @property
    def hand(self) -> int:
        """The row where eviction stands; moved only inside write transactions."""
        return sealed.opened(self._words[_HAND]) or 0

    @hand.setter
    def hand(self, rowid: int) -> None:
        self._words[_HAND] = sealed.seal(rowid)

    def set_in_flight(self, process: int, octets: int) -> None:
        """What the spool files of that process take, or have been promised."""
        self._words[_IN_FLIGHT + process] = sealed.seal(octets)

    def in_flight(self) -> int:
        """The same of all processes."""
        words = self._words[_IN_FLIGHT : _IN_FLIGHT + MOST_PROCESSES]
        return sum([sealed.opened(word) or 0 for word in words if word])

    def close(self) -> None:
        for view in (self._words, self.changed, self.removed, self.marks, self._whole):
            view.release()
        self._map.close()


def is_settled(stamp: int) -> bool:
    """Whether no change is under way, and the stamp is one."""
    return stamp != 0 and not stamp & 1


def _new_epoch() -> int:
    return sealed.seal(secrets.randbits(sealed.BITS) | 1)
