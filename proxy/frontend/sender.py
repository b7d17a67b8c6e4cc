"""Answers onto the wire: framing, chunks, files, at the pace of the client.

A body whose end the client could not tell from a cut is never closed politely: the connection is
reset, so that HTTP/1.0 clients see it too. Where its framing tells, what came before is delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final, Union

from proxy.exchange.answer import Answer, FileSpan, Flow, Inline, Tunnel
from proxy.exchange.hot import JOINED
from proxy.frontend.sendfile import send_file
from proxy.semantics.fields import NO_FIELDS
from proxy.store.base import BodyLost
from proxy.wire.bodies import chunk, last_chunk
from proxy.wire.heads import render_response

if TYPE_CHECKING:
    from proxy.semantics.messages import Request, RequestHead, ResponseHead

Asked = Union["Request", "RequestHead"]  # what framing depends on: method and minor version


# Pieces of a body after which the next one waits until the last one has gone: each takes some
# hundred octets in a transport, whatever is in it.
MANY: Final = 64
_RESET: Final = struct.pack("ii", 1, 0)  # struct linger: on, for no time


class Disconnected(Exception):
    """The client is no longer there to be written to."""


class Sender:
    """Writes to one client transport and knows its flow control. ``sent`` counts octets."""

    __slots__ = ("_drained", "_taken", "cut_shows", "gone", "paused", "sent", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.sent = 0
        self.paused = False
        self.gone = False
        self.cut_shows = False  # the framing of what is being sent tells a cut from an end
        self._drained: asyncio.Future[None] | None = None
        self._taken = 0

    def pause(self) -> None:
        """The transport's buffer is over its high-water mark."""
        self.paused = True

    def resume(self) -> None:
        """It is below the low-water mark, or will never be."""
        self.paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def lost(self) -> None:
        """The client went away."""
        self.gone = True
        self.resume()

    @property
    def pending(self) -> bool:
        """Whether there is something that the client has yet to take."""
        return self.paused or self.transport.get_write_buffer_size() > 0

    def moved(self) -> bool:
        """Whether the client has taken anything since this was last asked."""
        before, self._taken = self._taken, self.sent - self.transport.get_write_buffer_size()
        return self._taken != before

    async def drain(self) -> None:
        """Wait until the client has taken enough. Raises Disconnected."""
        if self.paused and not self.gone:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        if self.gone:
            raise Disconnected

    def write(self, block: bytes) -> None:
        """Hand a block to the transport, unless the client is gone."""
        if not self.gone:
            self.sent += len(block)
            self.transport.write(block)

    def send_octets(self, head: bytes, body: bytes) -> int:
        """A whole answer that is ready; returns its length."""
        if len(body) <= JOINED:
            self.write(head + body)
        elif not self.gone:
            self.sent += len(head) + len(body)
            self.transport.writelines((head, body))
        return len(head) + len(body)

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx, unless the client takes nothing: what tells of a wait is not kept."""
        if not self.paused:
            self.write(render_response(head.status, head.reason, head.fields))

    def send_own(self, request: RequestHead, answer: Answer, keep: bool) -> None:
        """An answer of our own, at once."""
        assert isinstance(answer.body, Inline)
        self.send_inline(request, answer.head, answer.body.data, keep)

    async def send(self, request: Request, answer: Answer, keep: bool) -> bool:
        """Send it whole; returns whether the connection may carry another request.

        Raises Disconnected, or what the body's reader raises: then the connection must be reset.
        """
        body = answer.body
        if isinstance(body, Inline):
            self.send_inline(request, answer.head, body.data, keep)
            return keep
        if isinstance(body, FileSpan):
            await self._send_file(request, answer.head, body, keep)
            return keep
        if isinstance(body, Flow):
            return await self._send_flow(request, answer.head, body, keep)
        assert isinstance(body, Tunnel)
        self.write(render_response(answer.head.status, answer.head.reason, answer.head.fields))
        return False

    def send_inline(self, request: Asked, head: ResponseHead, body: bytes, keep: bool) -> None:
        """All of it, at once."""
        length = None if bodiless(request, head) else len(body)
        block = rendered(request, head, length, keep)
        self.write(block + body if length else block)

    async def _send_file(
        self, request: Request, head: ResponseHead, span: FileSpan, keep: bool
    ) -> None:
        try:
            await send_file(self, rendered(request, head, span.length, keep), span)
        finally:
            span.body.close()

    async def _send_flow(
        self, request: Request, head: ResponseHead, flow: Flow, keep: bool
    ) -> bool:
        try:
            if bodiless(request, head):
                self.write(rendered(request, head, None, keep))
                return keep
            chunked = flow.length is None and request.minor >= 1
            keep = keep and (chunked or flow.length is not None)
            # The head does not wait for a body that takes its time.
            self.write(rendered(request, head, flow.length, keep, chunked=chunked))
            self.cut_shows = chunked or flow.length is not None
            await self._send_pieces(flow, chunked)
            self.cut_shows = False
        finally:
            flow.reader.close()
        return keep

    async def _send_pieces(self, flow: Flow, chunked: bool) -> None:
        done = count = 0
        while piece := await flow.reader.read():
            done, count = done + len(piece), count + 1
            if count == MANY and not self.transport.is_closing():
                self.transport.set_write_buffer_limits(0)
            if flow.length is not None and done >= flow.length:
                self.cut_shows = False  # it is what the head says: what is wrong now, a reset tells
                if done > flow.length:
                    break
            self.write(chunk(piece) if chunked else piece)
            if self.paused or self.gone:
                await self.drain()
        if flow.length is not None and done != flow.length:
            raise BodyLost(f"The body is not of the {flow.length} octets that its head says.")
        if chunked:
            self.write(last_chunk(flow.trailers() if flow.trailers is not None else NO_FIELDS))
        if count >= MANY and not self.transport.is_closing():
            self.transport.set_write_buffer_limits()


def reset(transport: asyncio.Transport) -> None:
    """End the connection so that what was sent cannot be taken for whole."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Without it the close would be a FIN, which is how an HTTP/1.0 body ends well.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def bodiless(request: Asked, head: ResponseHead) -> bool:
    """Whether the answer ends with its head (RFC 9112 §6.3)."""
    return request.method == "HEAD" or head.status in (204, 304)


def rendered(
    request: Asked, head: ResponseHead, length: int | None, keep: bool, *, chunked: bool = False
) -> bytes:
    """The head with its framing fields and, where it says something, Connection."""
    lines = list(head.fields.lines)
    if chunked:
        lines.append(("Transfer-Encoding", "chunked"))
    elif length is not None:
        lines.append(("Content-Length", str(length)))
    if not keep:
        lines.append(("Connection", "close"))
    elif request.minor == 0:
        lines.append(("Connection", "keep-alive"))
    return render_response(head.status, head.reason, lines)
