"""What decoders remember of what they made, to copy from: up to 16 MiB each, bounded together."""

from __future__ import annotations

from threading import Lock
from typing import Final

UNASKED: Final = 32 * 2**20  # octets of all together, for who decodes what nobody has asked for
ASKED: Final = 128 * 2**20  # and for who decodes what a client could not read otherwise
EACH: Final = 256 * 2**10  # that each may have in any case, as what is under way has buffers


class Windows:
    """Of all decoders of a process. Who holds more than its share goes when it is too much."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.octets = 0
        self.decoders = 0

    def add(self, decoders: int, octets: int) -> None:
        """So many more, or less."""
        with self._lock:
            self.decoders += decoders
            self.octets += octets

    def has_room(self, held: int, most: int) -> bool:
        """Whether a decoder may go on that holds so many, where all may have ``most``."""
        return self.octets <= most or held <= EACH or held * self.decoders <= most


def brotli_window(first: int) -> int:
    """Octets of the window, by the first octet of a stream (RFC 7932 §9.1)."""
    if not first & 1:
        return 2**16
    if bits := first >> 1 & 7:
        return int(2 ** (17 + bits))
    bits = first >> 4 & 7
    return int(2 ** (8 + bits)) if bits else 2**17
