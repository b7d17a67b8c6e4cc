"""A span of a stored body to a client: the kernel copies where it can, else read and write.

``os.sendfile`` on a duplicate of the socket's descriptor works beside any event loop as long as
the transport's own buffer is empty (half the CPU of read and write). Nothing here maps the file:
one that is cut short under us ends in a short count, not in a signal.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from proxy.store.base import BodyLost

if TYPE_CHECKING:
    from proxy.exchange.answer import FileSpan
    from proxy.frontend.sender import Sender

PIECE: Final = (
    2 * 1024 * 1024
)  # octets that one sendfile call moves at most: what one turn may cost
SMALL: Final = 64 * 1024  # octets below which the set-up costs more than it saves


async def send_file(sender: Sender, head: bytes, span: FileSpan) -> None:
    """Send the head and the whole span. Raises Disconnected, BodyLost (cut short, unreadable)."""
    source = span.body.fileno()
    if source is None or span.length < SMALL or not hasattr(os, "sendfile"):
        sender.write(head)
        await _copied(sender, span)
        return
    await _emptied(sender)
    connection = sender.transport.get_extra_info("socket")
    target = os.dup(connection.fileno())
    with socket.socket(connection.family, socket.SOCK_STREAM, 0, target) as client:
        await _sent(_Sending(sender, client, head, source, span), client)


async def _sent(sending: _Sending, client: socket.socket) -> None:
    sending.push()
    if sending.left:
        loop = asyncio.get_running_loop()
        loop.add_writer(client, sending.push)
        try:
            await sending.over()
        finally:
            loop.remove_writer(client)
    if sending.lost is not None:
        raise sending.lost


class _Sending:
    """``push`` is called while the socket takes more: a piece at a time, others in between."""

    __slots__ = ("_client", "_head", "_offset", "_sender", "_source", "left", "lost")

    def __init__(
        self, sender: Sender, client: socket.socket, head: bytes, source: int, span: FileSpan
    ) -> None:
        self._sender = sender
        self._client = client
        self._head = head
        self._source = source
        self._offset = span.offset
        self.left = span.length  # octets
        self.lost: BodyLost | None = None

    def push(self) -> None:
        try:
            if self._head:
                # Not in one segment with what follows, which would split every page in two.
                self._push_head()
            if not self._head and self.left:
                self._push_piece()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EIO:
                self._end(BodyLost(str(error)))
            else:
                self._sender.lost()  # a socket that leads to nobody any more

    def _push_head(self) -> None:
        count = self._client.send(self._head)
        self._head = self._head[count:]
        self._sender.sent += count

    def _push_piece(self) -> None:
        count = os.sendfile(
            self._client.fileno(), self._source, self._offset, min(PIECE, self.left)
        )
        self._offset += count
        self.left -= count
        self._sender.sent += count
        if not count:
            self._end(BodyLost("The stored body is shorter than its record says."))
        elif not self.left:
            self._end(None)

    def _end(self, lost: BodyLost | None) -> None:
        self.lost, self.left = lost, 0
        self._sender.resume()

    async def over(self) -> None:
        """Wait until all is sent, or lost. Raises Disconnected."""
        while self.left:
            self._sender.pause()
            await self._sender.drain()


async def _emptied(sender: Sender) -> None:
    """Wait until the transport's own buffer is empty. Raises Disconnected."""
    transport = sender.transport
    low, high = transport.get_write_buffer_limits()
    # uvloop writes at the end of the loop's turn, and does not count what waits for that.
    await asyncio.sleep(0)
    try:
        while transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # pauses now, resumes when empty
            await sender.drain()
    finally:
        if not sender.gone:
            transport.set_write_buffer_limits(high=high, low=low)


async def _copied(sender: Sender, span: FileSpan) -> None:
    done = 0
    while done < span.length:
        piece = await span.body.read_at(span.offset + done, min(256 * 1024, span.length - done))
        if not piece:
            raise BodyLost("The stored body is shorter than its record says.")
        sender.write(piece)
        done += len(piece)
        await sender.drain()
