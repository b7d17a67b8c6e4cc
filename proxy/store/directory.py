"""The directory: in which place of a pack the body and the record of a key are, in one mapped file.

A word per key, found by a keyed hash of it, spares whoever looks a key up the search in the
database, and brings record and body with one read. It is a memo of what the rows say: the
transaction that changes a key empties its word first, and one that leaves a single variant,
packed, sets it last.
Whoever reads looks at the generation first (odd: something is under way, the rows are asked) and
believes only a sound record of the key. Words that fell out for another key, or with the file,
come back after the rows have been asked (``operations.Note``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.store import mapped, packs
from proxy.store.packs import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.store.packs import Place

_MAGIC: Final = b"forecache directory 2\n"
_HEADER: Final = 4096
_SEAL, _HASH = 16, 17  # count in words
_FEWEST, _MOST = 1 << 10, 1 << 22  # words
_PER_WORD: Final = 2 * BLOCK  # octets that may be stored
_PIECE: Final = 2**20

# A word, from its highest bit: the number of the pack, its first block there, blocks, and a tag.
_PACK, _FIRST, _BLOCKS = 32, 18, 12
_MOST_FIRST: Final = (1 << _PACK - _FIRST) - 1
_MOST_BLOCKS: Final = (1 << _FIRST - _BLOCKS) - 1
_TAG: Final = (1 << _BLOCKS) - 1
_REST: Final = 32  # of the hash: above what any slot takes
_GROUP: Final = (0, 1, 2, 3)  # from the slot of its hash, where a key may be


class Span(NamedTuple):
    """Octets of the pack with that number."""

    pack: int
    start: int
    size: int


class Directory:
    """Any thread may read, and write within a write transaction: each access is one word."""

    def __init__(self, path: Path, max_size: int, hashed: Callable[[str], int]) -> None:
        """Open or create; ``max_size`` says how large one is that ``is_new``. Raises OSError.

        ``hashed`` gives the places: words that another hash has placed are forgotten. The caller
        holds the folder's lock.
        """
        self._path = path
        self._max_size = max_size
        self._hashed = hashed
        self._open()

    def _open(self) -> None:
        self.size = mapped.size(self._path, _MAGIC)
        self.is_new = self.size != size_for((self.size - _HEADER) // 8 * _PER_WORD)
        if self.is_new:
            self.size = size_for(self._max_size)
            with mapped.created(self._path, _MAGIC) as file:
                mapped.fill(file, self.size)
        self._map = mapped.open_map(self._path)
        self._identity = mapped.identity(self._path)
        self._whole = memoryview(self._map)
        self._header = self._whole[:_HEADER].cast("Q")
        self._words = self._whole[_HEADER:].cast("Q")
        sample = self._hashed("")
        if self._header[_HASH] != sample:
            self.clear()
            self._header[_HASH] = sample

    @property
    def is_replaced(self) -> bool:
        """Whether another file is in its place by now. Blocks."""
        return mapped.identity(self._path) != self._identity

    def reopen(self) -> None:
        """Take the file that is in its place now, or make one; it knows nothing. Raises OSError.

        The caller holds the folder's lock.
        """
        self.clear()
        self._open()
        self.clear()

    def find(self, key: str) -> Span | None:
        """Where that of ``key`` is, or that of a key which looks like it."""
        hashed = self._hashed(key)
        tag, words = hashed >> _REST & _TAG, self._words
        slot = hashed & len(words) - 1
        for other in _GROUP:
            word = words[slot ^ other]
            if word & _TAG == tag and word:
                first, blocks = word >> _FIRST & _MOST_FIRST, word >> _BLOCKS & _MOST_BLOCKS
                return Span(word >> _PACK, first * BLOCK, blocks * BLOCK)
        return None

    def put(self, key: str, place: Place) -> None:
        """The only variant of ``key`` is there, with a record."""
        number = packs.number_of(place.pack)
        first, blocks = place.start // BLOCK, place.room // BLOCK
        if number is None or not place.tail or first > _MOST_FIRST or blocks > _MOST_BLOCKS:
            return
        hashed = self._hashed(key)
        tag, words = hashed >> _REST & _TAG, self._words
        slot = hashed & len(words) - 1
        slot = next((slot ^ other for other in _GROUP if not words[slot ^ other]), slot)
        words[slot] = number << _PACK | first << _FIRST | blocks << _BLOCKS | tag

    def forget(self, key: str) -> None:
        """Called inside the transaction that changes the key, before anything else."""
        hashed = self._hashed(key)
        tag, words = hashed >> _REST & _TAG, self._words
        slot = hashed & len(words) - 1
        for other in _GROUP:
            if words[slot ^ other] & _TAG == tag:
                words[slot ^ other] = 0

    @property
    def seal(self) -> int:
        """What the last process to close the folder put here; 0: none has."""
        return self._header[_SEAL]

    @seal.setter
    def seal(self, value: int) -> None:
        self._header[_SEAL] = value

    def clear(self) -> None:
        """Forget all keys."""
        nothing = bytes(_PIECE)
        for start in range(_HEADER, self.size, _PIECE):
            end = min(start + _PIECE, self.size)
            self._map[start:end] = nothing[: end - start]

    def close(self) -> None:
        for view in (self._header, self._words, self._whole):
            view.release()
        self._map.close()


def size_for(max_size: int) -> int:
    """The octets of a new one: at least a word for so much that may be stored, within bounds."""
    words = max(_FEWEST, min(_MOST, 1 << (max_size // _PER_WORD - 1).bit_length()))
    return _HEADER + 8 * words
