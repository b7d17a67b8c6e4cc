"""A response as it arrives: interim heads, the final head, and a body at the reader's pace.

Octets come in from the connection; ``Response`` says to it only four things: pause, resume,
finished, failed. Nothing here knows sockets.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.upstream.base import ClientGone, Lost
from proxy.wire.bodies import BodyDecoder
from proxy.wire.framing import UNTIL_CLOSE, NoBody, Sized, keeps_alive, response_framing
from proxy.wire.heads import BadMessage, check_partial_response, head_end, parse_response

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead
    from proxy.upstream.base import OnInterim
    from proxy.upstream.connection import Connection
    from proxy.upstream.upload import Upload
    from proxy.wire.heads import Limits

_TIMEOUT: Final = re.compile(r"[0-9]{1,9}")
WINDOW: Final = 256 * 1024  # undelivered octets above which the origin is told to wait


class Response:
    """The ``UpstreamResponse`` of one request on one connection."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_decoder",
        "_error",
        "_held",
        "_interims_left",
        "_limits",
        "_method",
        "_on_interim",
        "_size",
        "_upgrade",
        "_waiter",
        "head",
        "length",
        "paused",
        "switched",
        "untouched",
        "upload",
    )

    head: ResponseHead
    length: int | None

    def __init__(self, connection: Connection, method: str, *, upgrade: bool = False) -> None:
        self.paused = False  # the reader is behind: the origin was told to wait
        self.switched = False  # the connection is no longer HTTP after this head
        self.untouched = True  # not an octet has arrived
        self.upload: Upload | None = None
        self._connection: Connection | None = connection
        self._limits: Limits = connection.limits
        self._method = method
        self._upgrade = upgrade
        self._on_interim: OnInterim | None = None
        self._interims_left = connection.options.interim_responses
        self._decoder: BodyDecoder | None = None
        self._held = b""  # an unfinished head
        self._chunks: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the connection says.

    def received(self, octets: bytes) -> None:
        """Raises BadMessage, and then expects ``failed``."""
        self.untouched = False
        decoder = self._decoder
        if decoder is None:
            octets = self._receive_heads(octets)
            decoder = self._decoder
            if decoder is None:
                return
        if octets and (content := decoder.feed(octets)):
            self._chunks.append(content)
            self._size += len(content)
        if decoder.complete:
            self._complete(decoder)
        elif self._size > WINDOW and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def _receive_heads(self, octets: bytes) -> bytes:
        """Take heads up to the final one; what comes after it."""
        buffer = self._held + octets if self._held else octets
        seen = len(self._held)
        self._held = b""
        while True:
            end = head_end(buffer, seen)
            if end < 0:
                check_partial_response(buffer, self._limits)
                self._held = buffer
                return b""
            head = parse_response(buffer[:end], self._limits)
            buffer = buffer[end:]
            if head.status >= 200 or head.status == 101:
                return self._final(head, buffer)
            self._interim(head)
            if not buffer:
                return b""
            seen = 0

    def _interim(self, head: ResponseHead) -> None:
        self._interims_left -= 1
        if self._interims_left < 0:
            raise BadMessage(400, "there are too many interim responses")
        if self._on_interim is not None:
            self._on_interim(head)

    def _final(self, head: ResponseHead, rest: bytes) -> bytes:
        if self._switches(head):
            self.switched = True
            self._leave().switched(head, rest)
            self._wake()
            return b""
        framing = response_framing(self._method, head)
        if framing is UNTIL_CLOSE and "transfer-encoding" in head.fields:
            # RFC 9112 §6.3: a coding that we do not know; its name is for this connection only.
            head = replace(head, fields=head.fields.without({"transfer-encoding"}))
        self.length = framing.length if isinstance(framing, Sized) else None
        if isinstance(framing, NoBody):
            self.length = 0
        self.head = head
        self._decoder = BodyDecoder(framing, self._limits)
        if self.upload is not None and head.status >= 300:
            # RFC 9112 §9.3: an origin that has decided does not want the rest.
            self.upload.stop()
        return rest

    def _switches(self, head: ResponseHead) -> bool:
        if self._method == "CONNECT" and head.status < 300 and head.status != 101:
            return True
        if head.status == 101 and not self._upgrade:
            raise BadMessage(400, "the protocol was switched unasked")
        return head.status == 101

    def _leave(self) -> Connection:
        connection, self._connection = self._connection, None
        assert connection is not None, "a response arrives on its connection"
        return connection

    def _complete(self, decoder: BodyDecoder) -> None:
        sent = self.upload is None or self.upload.flushed
        if self.upload is not None:
            self.upload.stop()
        head = self.head
        # Promise: both messages ended where their framing says, and nothing is left over.
        reusable = sent and not decoder.rest and keeps_alive(head.minor, head.fields)
        connection = self._leave()
        if reusable and "keep-alive" in head.fields:
            connection.keep_alive = allowed_idle(head.fields, connection.options.keep_alive)
        connection.finished(reusable=reusable)

    def ended(self) -> None:
        """The origin has closed its side; if the body may end so, it has."""
        decoder = self._decoder
        if decoder is None:
            return
        try:
            decoder.eof()
        except BadMessage:
            return  # the connection is lost next, and says so
        if self.upload is not None:
            self.upload.stop()
        self._leave().finished(reusable=False)
        self._wake()

    def failed(self, error: BaseException) -> None:
        """The connection is gone, or of no more use."""
        if self.upload is not None:
            self.upload.stop()
        if isinstance(error, ClientGone) and self._decoder is not None:
            error = Lost(502, "connection_terminated", "The request was not sent to its end.")
        self._connection = None
        self._error = error
        self._wake()

    @property
    def headed(self) -> bool:
        """Whether the final head has arrived."""
        return self._decoder is not None or self.switched

    # What the reader asks.

    async def arrived(self, on_interim: OnInterim | None) -> None:
        """Wait for the final head. Raises UpstreamError, or what the request body raised."""
        self._on_interim = on_interim
        while not self.headed:
            if self._error is not None:
                raise self._error
            await self._change()

    def at_hand(self) -> bytes | None:
        """The whole body if it has all arrived already (then it is consumed), else None."""
        decoder = self._decoder
        if decoder is None or not decoder.complete:
            return None
        return self._take()

    async def read(self) -> bytes:
        """What has arrived, b"" after the end. Raises UpstreamError if it is cut."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._decoder is None or self._decoder.complete:
                return b""
            await self._change()
        if self.paused and self._connection is not None:
            self.paused = False
            self._connection.resume_reading()
        return self._take()

    def _take(self) -> bytes:
        chunks, self._chunks, self._size = self._chunks, [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """No more is wanted. Before the end of the body this closes the connection."""
        self._chunks = []
        if self._connection is not None:
            self._connection.fail(
                Lost(502, "connection_terminated", "The response was not wanted to its end.")
            )

    async def _change(self) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def allowed_idle(fields: Fields, configured: float) -> float:
    """Seconds for which the origin keeps an idle connection, by ``Keep-Alive: timeout=5``.

    Less a second, so that a request does not meet its close (RFC 9112 §9.3.1).
    """
    for member in fields.members("keep-alive"):
        name, _, value = member.partition("=")
        if name.strip().lower() == "timeout" and _TIMEOUT.fullmatch(value.strip()):
            return min(configured, max(0.0, int(value) - 1.0))
    return configured
