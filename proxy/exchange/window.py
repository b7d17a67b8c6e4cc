"""A run of octets of a body in memory: small pieces are joined, positions found by bisection."""

from __future__ import annotations

from bisect import bisect_right

from proxy.wire.bodies import gather


class Window:
    """The octets from offset ``start`` of a body up to ``end``."""

    __slots__ = ("_pieces", "_starts", "end", "start")

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._pieces: list[bytes] = []  # none is empty
        self._starts: list[int] = []  # the offset of each

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def first_end(self) -> int:
        """The offset behind the first piece, which is dropped as a whole."""
        return self.start + len(self._pieces[0]) if self._pieces else self.start

    def append(self, octets: bytes) -> None:
        """Add octets at the end."""
        if octets:
            gather(self._pieces, octets)
            if len(self._pieces) > len(self._starts):
                self._starts.append(self.end)
            self.end += len(octets)

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` octets from ``offset``, which is within the window."""
        number = bisect_right(self._starts, offset) - 1
        within = offset - self._starts[number]
        return self._pieces[number][within : within + size]

    def joined(self) -> bytes:
        """All of it, as one piece from now on."""
        if len(self._pieces) > 1:
            self._pieces, self._starts = [b"".join(self._pieces)], [self.start]
        return self._pieces[0] if self._pieces else b""

    def drop(self, offset: int) -> None:
        """Forget the pieces that end at or before ``offset``."""
        count = bisect_right(self._starts, offset) - 1
        if count >= 0 and offset >= self.end:
            count += 1
        if count > 0:
            del self._pieces[:count], self._starts[:count]
            self.start = self._starts[0] if self._starts else self.end

    def clear(self) -> None:
        """Forget all of it."""
        self.drop(self.end)
