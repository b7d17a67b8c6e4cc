"""What decoders remember of what they made, to copy from: up to 16 MiB each, bounded together."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from proxy.codings.registry import Coding

if TYPE_CHECKING:
    from proxy.codings.registry import Chain

MOST: Final = 32 * 2**20  # octets of all together
EACH: Final = 256 * 2**10  # that each may have in any case, as what is under way has buffers

_LARGEST: Final = {Coding.BR: 2**24, Coding.ZSTD: 2**23}  # RFC 7932 §9.1, RFC 9659 §3
_SMALL: Final = 2**16


def largest(codings: Chain) -> int:
    """Octets that these codings let a decoder remember."""
    return sum(_LARGEST.get(coding, _SMALL) for coding in codings)


class Windows:
    """Of all decoders of a process. Who holds more than its share goes when it is too much."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self.octets = 0
        self.decoders = 0

    def add(self, decoders: int, octets: int) -> None:
        """So many more, or less."""
        with self._lock:
            self.decoders += decoders
            self.octets += octets

    def has_room(self, held: int) -> bool:
        """Whether a decoder may go on that holds so many."""
        if self.octets <= self._most or held <= EACH:
            return True
        return held * self.decoders <= self._most
