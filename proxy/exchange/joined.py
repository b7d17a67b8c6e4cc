"""A stored part and the rest of it, coming in, as one body (RFC 9111 §3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.exchange.delivery import Assembled
from proxy.policy.representation import Slice

if TYPE_CHECKING:
    from proxy.exchange.answer import BodyReader
    from proxy.store.base import StoredBody


class Joined:
    """A ``Source``: the part held and the part coming, in the order of their octets.

    ``missing`` is how many octets are to come, whether or not their framing says so.
    """

    __slots__ = ("_first", "_second", "length")

    length: int | None

    def __init__(
        self, held: StoredBody, coming: BodyReader, missing: int, *, found_first: bool
    ) -> None:
        stored: BodyReader = Assembled(held, (Slice(0, held.length),))
        self._first, self._second = (stored, coming) if found_first else (coming, stored)
        self.length = held.length + missing

    def at_hand(self) -> bytes | None:
        """Never: the part held has to be read first."""
        return None

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises UpstreamError, BodyLost."""
        return await self._first.read() or await self._second.read()

    def close(self) -> None:
        """No more is wanted."""
        self._first.close()
        self._second.close()
