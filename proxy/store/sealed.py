"""Numbers in shared memory with a check beside them, so that a flipped bit shows."""

from __future__ import annotations

from typing import Final

from proxy.store.crc import crc32

BITS: Final = 48
_MASK: Final = (1 << BITS) - 1


def seal(number: int) -> int:
    """The word of 64 bits that stands for ``number``; that of 0 is 0, as in a file that is new."""
    number &= _MASK
    return number << 16 | _check(number) if number else 0


def opened(word: int) -> int | None:
    """The number of that word; None if it is damaged."""
    number = word >> 16
    return number if word == seal(number) else None


def _check(number: int) -> int:
    return crc32(number.to_bytes(6, "little")) & 0xFFFF
