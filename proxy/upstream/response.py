"""A response as it arrives: interim heads, the final head, and a body at the reader's pace.

Octets come in from the connection; ``Response`` says to it only four things: pause, resume,
finished, failed. Nothing here knows sockets.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from proxy.bounded import Memo
from proxy.semantics import session_authentication
from proxy.semantics.fields import NO_FIELDS
from proxy.semantics.grammar import list_members
from proxy.upstream.base import ClientGone, Lost
from proxy.wire.bodies import BodyDecoder, gather
from proxy.wire.framing import UNTIL_CLOSE, keeps_alive, response_framing
from proxy.wire.heads import BadMessage, check_partial_response, head_end, parse_response

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead
    from proxy.upstream.base import OnInterim, Outgoing
    from proxy.upstream.connection import Connection, Raw
    from proxy.upstream.upload import Upload

_TIMEOUT: Final = re.compile(r"[0-9]{1,9}")
_SENSIBLE: Final = 128  # octets in a Keep-Alive field, so that many can be remembered
COUNTED: Final = 10.0  # seconds after which interim responses are counted anew
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
        "_interims_until",
        "_limits",
        "_loop",
        "_on_interim",
        "_request",
        "_size",
        "_waiter",
        "_whole",
        "head",
        "headed",
        "length",
        "octets",
        "paused",
        "raw",
        "trailers",
        "untouched",
        "upload",
    )

    head: ResponseHead
    length: int | None

    def __init__(
        self, connection: Connection, request: Outgoing, on_interim: OnInterim | None = None
    ) -> None:
        self.headed = False  # the final head has arrived
        self.octets = b""  # that head as it came
        self.paused = False  # the reader is behind: the origin was told to wait
        self.raw: Raw | None = None  # the connection, if it is no longer HTTP after this head
        self.trailers = NO_FIELDS
        self.untouched = True  # not an octet has arrived
        self.upload: Upload | None = None
        self._connection: Connection | None = connection
        self._limits = connection.limits
        self._loop = connection.loop
        self._request = request
        self._on_interim = on_interim
        self._interims_left = connection.options.interim_responses
        self._interims_until = 0.0  # loop time at which there are as many again
        self._decoder: BodyDecoder | None = None  # for a body that has not come with its head
        self._whole = False  # all of the body has arrived
        self._held = b""  # an unfinished head
        self._chunks: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the connection says.

    def received(self, octets: bytes) -> None:
        """Raises BadMessage, and then expects ``failed``."""
        self.untouched = False
        if self.headed:
            self._receive_body(octets)
        else:
            self._receive_heads(octets)
            if not self.headed:
                return
        self._wake()

    def _receive_heads(self, octets: bytes) -> None:
        """Take heads up to the final one, and what comes after it."""
        limits = self._limits
        buffer, seen = octets, len(self._held)
        if seen:
            buffer = self._held + octets
            self._held = b""
        while buffer:
            end = head_end(buffer, seen)
            if end < 0:
                check_partial_response(buffer, limits, seen)
                self._held = buffer
                return
            octets = buffer[:end]
            head = parse_response(octets, limits)
            buffer = buffer[end:]
            if head.status >= 200 or head.status == 101:
                self.octets = octets
                self._final(head, buffer)
                return
            self._interim(head)
            seen = 0

    def _interim(self, head: ResponseHead) -> None:
        # A 102 each ten seconds (RFC 2518 §10.1) may go on for hours; a flood may not.
        now = self._loop.time()
        if now >= self._interims_until and self._connection is not None:
            self._interims_until = now + COUNTED
            self._interims_left = self._connection.options.interim_responses
        self._interims_left -= 1
        if self._interims_left < 0:
            raise BadMessage(400, "there are too many interim responses")
        if self._on_interim is not None:
            self._on_interim(head)

    def _final(self, head: ResponseHead, rest: bytes) -> None:
        method = self._request.method
        if (head.status == 101 or method == "CONNECT") and self._switches(head):
            self.head, self.headed = head, True
            self.raw = self._leave().switched(head, rest, self.upload)
            return
        framing = response_framing(method, head)
        if framing is UNTIL_CLOSE and "transfer-encoding" in head.fields:
            # RFC 9112 §6.3: a coding that we do not know; its name is for this connection only.
            head = replace(head, fields=head.fields.without({"transfer-encoding"}))
        self.headed = True
        self.head = head
        self.length = framing.length
        if self.upload is not None and head.status >= 300:
            # RFC 9112 §9.3: an origin that has decided does not want the rest.
            self.upload.stop()
        if len(rest) == self.length:
            self._chunks.append(rest)
            self._complete(leftover=False)
        else:
            self._decoder = BodyDecoder(framing, self._limits, origin=True)
            self._receive_body(rest)

    def _switches(self, head: ResponseHead) -> bool:
        if head.status != 101:
            return head.status < 300  # to CONNECT
        if not self._request.upgrade:
            raise BadMessage(400, "the protocol was switched unasked")
        return True

    def _receive_body(self, octets: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None, "a body that has come whole has left its connection"
        if octets and (content := decoder.feed(octets)):
            gather(self._chunks, content)
            self._size += len(content)
        if decoder.complete:
            self.trailers = decoder.trailers
            self._complete(leftover=bool(decoder.rest))
        elif self._size > WINDOW and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.transport.pause_reading()

    def _leave(self) -> Connection:
        connection, self._connection = self._connection, None
        assert connection is not None, "a response arrives on its connection"
        return connection

    def _complete(self, *, leftover: bool) -> None:
        self._whole = True
        connection, upload, head = self._leave(), self.upload, self.head
        # Promise: both messages ended where their framing says, and nothing is left over.
        reusable = not leftover and keeps_alive(head.minor, head.fields)
        # RFC 9112 §9.3: who says keep-alive in HTTP/1.0 may only pass on what somebody else said.
        reusable = reusable and (head.minor > 0 or not connection.shared)
        if upload is not None:
            reusable = reusable and upload.flushed
            upload.stop()
        if "www-authenticate" in head.fields and connection.shared:
            reusable = reusable and not session_authentication.is_offered(head.fields)
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
        self._whole = True
        if self.upload is not None:
            self.upload.stop()
        self._leave().finished(reusable=False)
        self._wake()

    def failed(self, error: BaseException) -> None:
        """The connection is gone, or of no more use."""
        if self.upload is not None:
            self.upload.stop()
        if isinstance(error, ClientGone) and self.headed:
            error = Lost(502, "connection_terminated", "The request was not sent to its end.")
        self._connection = None
        self._error = error
        self._wake()

    # What the reader asks.

    async def arrived(self) -> None:
        """Wait for the final head. Raises UpstreamError, or what the request body raised."""
        try:
            while not self.headed:
                if self._error is not None:
                    raise self._error
                await self._change()
        except asyncio.CancelledError:
            self.close()
            raise

    def at_hand(self) -> bytes | None:
        """The whole body if it has all arrived already (then it is consumed), else None."""
        return self._take() if self._whole else None

    async def read(self) -> bytes:
        """What has arrived, b"" after the end. Raises UpstreamError if it is cut."""
        try:
            while not self._chunks:
                if self._error is not None:
                    raise self._error
                if self._whole:
                    return b""
                await self._change()
        except asyncio.CancelledError:
            self.close()
            raise
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

    def _change(self) -> asyncio.Future[None]:
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def allowed_idle(fields: Fields, configured: float) -> float:
    """Seconds for which the origin keeps an idle connection, by ``Keep-Alive: timeout=5``.

    Less a second, so that a request does not meet its close (RFC 9112 §9.3.1).
    """
    value = fields.get("keep-alive") or ""
    announced = _announced(value) if len(value) <= _SENSIBLE else None
    return configured if announced is None else min(configured, max(0.0, announced - 1.0))


def _parsed(value: str) -> float | None:
    for member in list_members(value):
        name, _, seconds = member.partition("=")
        if name.strip().lower() == "timeout" and _TIMEOUT.fullmatch(seconds.strip()):
            return float(seconds)
    return None


_announced: Final = Memo("timeouts of origins", _parsed, 2**16).__getitem__
