"""A stored part and the rest of it, coming in, as one body (RFC 9111 §3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.store.base import BodyLost
from proxy.upstream.base import Lost

if TYPE_CHECKING:
    from proxy.store.base import StoredBody
    from proxy.upstream.base import UpstreamResponse

PIECE: Final = 256 * 1024


class Joined:
    """A ``Source``: the part held and the part coming, in the order of their octets.

    ``missing`` is how many octets are to come, whether or not their framing says so.
    """

    __slots__ = ("_coming", "_first", "_held", "_offset", "length")

    length: int | None

    def __init__(
        self, held: StoredBody, coming: UpstreamResponse, missing: int, *, found_first: bool
    ) -> None:
        self._held = held
        self._coming = coming
        self._first = found_first
        self._offset = 0
        self.length = held.length + missing

    def at_hand(self) -> bytes | None:
        """Never: the part held has to be read first."""
        return None

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises UpstreamError."""
        if self._first:
            return await self._read_held() or await self._coming.read()
        return await self._coming.read() or await self._read_held()

    async def _read_held(self) -> bytes:
        try:
            chunk = await self._held.read_at(self._offset, PIECE)
        except BodyLost as lost:
            raise Lost(502, "connection_terminated", "The stored part was lost.") from lost
        self._offset += len(chunk)
        return chunk

    def close(self) -> None:
        """No more is wanted."""
        self._held.close()
        self._coming.close()
