"""The client's request body: decoded as it comes, read at the pace of who sends it on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.upstream.base import ClientGone
from proxy.wire.bodies import BodyDecoder, gather
from proxy.wire.heads import BadMessage

if TYPE_CHECKING:
    from proxy.wire.framing import Framing
    from proxy.wire.heads import Limits


class InboundBody:
    """A ``RequestBody`` fed by the connection.

    ``window``: octets that wait to be read before the client has to wait.
    """

    __slots__ = (
        "_chunks", "_decoder", "_size", "_transport", "_waiter", "_window", "gone", "late",
        "malformed",
    )  # fmt: skip

    def __init__(
        self, transport: asyncio.Transport, framing: Framing, limits: Limits, window: int
    ) -> None:
        self._transport = transport
        self._window = window
        self._decoder = BodyDecoder(framing, limits)
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self.malformed: BadMessage | None = None
        self.gone = False
        self.late = False

    @property
    def complete(self) -> bool:
        """Whether the body ended where its framing says."""
        return self._decoder.complete

    @property
    def starving(self) -> bool:
        """Whether somebody waits for octets that the client owes."""
        return self._waiter is not None and not self._waiter.done()

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; returns what belongs to the next request."""
        if self.malformed is not None:
            return b""  # nobody knows where the next request would begin
        try:
            chunk = self._decoder.feed(data)
        except BadMessage as error:
            self.malformed = error
            self._wake()
            return b""
        if chunk:
            gather(self._chunks, chunk)
            self._size += len(chunk)
            if self._size > self._window:
                self._transport.pause_reading()
        self._wake()
        return self._decoder.rest if self._decoder.complete else b""

    def lost(self) -> None:
        """The client went away."""
        self.gone = True
        self._wake()

    def overdue(self) -> None:
        """The client has paused for too long: no more is waited for."""
        self.late = True
        self.lost()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """All that has arrived since, or wait for it; b"" at the end. Raises ClientGone."""
        while not self._chunks:
            if self.malformed is not None:
                raise ClientGone(self.malformed.detail)
            if self._decoder.complete:
                return b""
            if self.gone:
                raise ClientGone("The client left before its request body was whole.")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        chunks, self._chunks = self._chunks, []
        if self._size > self._window:
            self._transport.resume_reading()
        self._size = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
