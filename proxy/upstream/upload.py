"""A request body on its way out, beside the response coming in; the origin sets the pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from proxy.upstream.base import ClientGone, Lost
from proxy.wire.bodies import chunk, last_chunk

if TYPE_CHECKING:
    from proxy.upstream.base import RequestBody
    from proxy.upstream.connection import Connection

# Pieces of a body after which the next one waits until the last one has gone: each takes some
# hundred octets in a transport, whatever is in it.
MANY: Final = 64


class Upload:
    """Sends ``body`` (``length`` octets, or chunked for None) from now on.

    If it cannot be read whole the connection is closed: a cut request never looks complete.
    """

    __slots__ = ("_connection", "_task", "_written", "whole")

    def __init__(self, connection: Connection, body: RequestBody, length: int | None) -> None:
        self.whole = False
        self._connection = connection
        self._written = 0  # pieces
        sending = self._send_chunked(body) if length is None else self._send_sized(body, length)
        self._task = asyncio.get_running_loop().create_task(sending, name="upload")
        self._task.add_done_callback(self._ended)

    async def _send_sized(self, body: RequestBody, length: int) -> None:
        while octets := await body.read():
            length -= len(octets)
            if length < 0:
                break
            await self._write(octets)
        if length:
            raise ClientGone("The request body is not as long as its Content-Length says.")
        self._sent()

    async def _send_chunked(self, body: RequestBody) -> None:
        while octets := await body.read():
            await self._write(chunk(octets))
        await self._connection.write(last_chunk())
        self._sent()

    async def _write(self, octets: bytes) -> None:
        await self._connection.write(octets)
        self._written += 1
        if self._written == MANY:
            self._connection.hold_no_more()

    def _sent(self) -> None:
        self.whole = True
        self._connection.sent()

    @property
    def flushed(self) -> bool:
        """Whether the origin has been given all of it."""
        return self.whole and not self._connection.transport.get_write_buffer_size()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connection.fail(error)

    async def done(self) -> None:
        """Wait until all of it is sent. Raises Lost, or what reading it raised."""
        await asyncio.wait([self._task])
        if self._task.cancelled():
            raise Lost(502, "connection_terminated", "The request was not sent to its end.")
        self._task.result()

    def stop(self) -> None:
        """Send no more of it."""
        self._task.cancel()
