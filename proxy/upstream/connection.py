"""One HTTP/1.1 connection to an origin or parent: one exchange at a time, nothing before or after.

The clock: ``read_timeout`` counts while we wait for the origin, that is neither while the client
is slow to send its body, nor while the response is read slowly. One timer per connection; it
finds out when it fires whether it was needed.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Final, Protocol, cast

from proxy.upstream.base import BadResponse, Lost
from proxy.upstream.response import WINDOW, Response
from proxy.upstream.upload import Upload
from proxy.wire.heads import BadMessage, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.semantics.messages import ResponseHead
    from proxy.upstream.again import Again
    from proxy.upstream.base import OnInterim, Outgoing
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.routes import Route

_POLL: Final = hasattr(select, "poll")


class Unanswered(Lost):
    """Closed before any octet of the response: what a reused connection may do (§9.3.1)."""


class Owner(Protocol):
    """Who keeps connections between exchanges."""

    def released(self, connection: Connection) -> None:
        """It has finished an exchange and can take another."""

    def gone(self, connection: Connection) -> None:
        """It can take no other; said once."""


class Connection(asyncio.Protocol):
    """``peer`` names the other side in sentences. ``served`` counts exchanges that ended well,
    and a wait for the first one: since then the origin may have closed it.

    ``since``: when the origin last did something, or we began to wait for it (loop time).
    ``client``: in whose share of the pool it is counted, if in any.
    """

    __slots__ = (
        "_current",
        "_drained",
        "_now",
        "_raw",
        "_readable",
        "_timer",
        "client",
        "closed",
        "keep_alive",
        "limits",
        "loop",
        "options",
        "owner",
        "peer",
        "route",
        "served",
        "shared",
        "since",
        "transport",
    )

    def __init__(self, options: UpstreamOptions, route: Route, peer: str) -> None:
        self.options = options
        self.limits = Limits(head=options.response_head, fields=0)
        self.route = route
        self.peer = peer
        self.owner: Owner | None = None
        self.client: str | None = None
        self.closed = False
        self.keep_alive: float = options.keep_alive  # seconds of idleness that the origin allows
        self.served = 0
        self.shared = True  # another client may have it after this one
        self.transport: asyncio.Transport
        self.loop = asyncio.get_running_loop()
        self._now = self.loop.time
        self.since = self._now()
        self._current: Response | Again | None = None
        self._raw: Raw | None = None
        self._drained: asyncio.Future[None] | None = None  # set while the origin takes no more
        self._timer: asyncio.TimerHandle | None = None
        self._readable: Callable[[int], object] | None = None  # asks the kernel, for milliseconds

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.since = self._now()
        current = self._current
        if current is None:
            self._unasked(data)
            return
        try:
            current.received(data)
        except BadMessage as bad:
            sentence = f"{self.peer} sent what is not a proper HTTP/1.1 response: {bad.detail}."
            self.fail(BadResponse(502, "http_protocol_error", sentence))

    def _unasked(self, octets: bytes) -> None:
        if self._raw is None:
            self.abort()  # a response to nothing
        else:
            self._raw.early += octets
            self._raw.heard()
            if len(self._raw.early) > WINDOW:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.ended = True
            self._raw.heard()
            return True
        if self._current is not None:
            self._current.ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(self._loss())
        if self._raw is not None:
            self._raw.ended = True
            self._raw.heard()

    def _loss(self) -> Lost:
        current = self._current
        if current is None or current.untouched:
            sentence = f"{self.peer} closed the connection without an answer."
            return Unanswered(502, "connection_terminated", sentence)
        sentence = f"{self.peer} closed the connection before its response was whole."
        return Lost(502, "http_response_incomplete", sentence)

    def pause_writing(self) -> None:
        self.since = self._now()
        self._drained = self.loop.create_future()

    def resume_writing(self) -> None:
        self.since = self._now()
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # One exchange.

    def send(self, head: bytes, request: Outgoing, on_interim: OnInterim | None = None) -> Response:
        """Send the request; its response, to wait for. Raises Lost if the connection is gone."""
        if self.closed or self.transport.is_closing():
            raise self._loss()
        response = Response(self, request, on_interim)
        self._begin(head, response)
        if request.body is not None:
            response.upload = Upload(self, request.body, request.length)
        return response

    def send_again(self, head: bytes, again: Again) -> None:
        """Send a request without a body on a connection just taken from among the idle."""
        again.on(self)
        self._begin(head, again)

    def _begin(self, head: bytes, current: Response | Again) -> None:
        self._current = current
        self.since = self._now()
        if self._timer is None:
            self._timer = self.loop.call_later(self.options.read_timeout, self._look)
        self.transport.write(head)

    def expect(self, response: Response) -> None:
        """What comes is not what was expected: this reads it."""
        self._current = response

    async def ask(
        self, head: bytes, request: Outgoing, on_interim: OnInterim | None = None
    ) -> Response | Raw:
        """Send the request; the response when its head is there. Raises UpstreamError, ClientGone.

        The connection is closed if this is cancelled.
        """
        response = self.send(head, request, on_interim)
        await response.arrived()
        return response.raw or response

    async def write(self, octets: bytes) -> None:
        """Write when the origin takes more."""
        if self._drained is not None:
            await self._drained
        self.transport.write(octets)

    def hold_no_more(self) -> None:
        """From now on nothing more is written while the origin has yet to take something."""
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits(0)

    def sent(self) -> None:
        """The request is whole: from now on we wait for the origin."""
        self.since = self._now()

    def resume_reading(self) -> None:
        """The reader has caught up."""
        self.since = self._now()
        self.transport.resume_reading()

    def finished(self, *, reusable: bool) -> None:
        """The current exchange has its whole response."""
        current, self._current = self._current, None
        self.served += 1
        if not reusable or self.owner is None or self.transport.is_closing():
            self.abort()
            return
        if current is not None and current.paused:
            self.transport.resume_reading()
        self.owner.released(self)

    def switched(self, head: ResponseHead, early: bytes, upload: Upload | None) -> Raw:
        """What comes now is not HTTP: it waits until somebody takes the transport."""
        self._current = None
        if upload is None or upload.whole:
            self.transport.pause_reading()  # else it is not taken yet: hear if the origin leaves
        return self.raw(head, early, upload)

    def raw(
        self, head: ResponseHead | None = None, early: bytes = b"", upload: Upload | None = None
    ) -> Raw:
        """Keep what comes for whoever takes the transport."""
        self._raw = Raw(self, head, early, upload)
        return self._raw

    def resume_http(self) -> None:
        """Nobody takes the transport, and nothing has come: it waits for a request."""
        self._raw = None
        self.served += 1  # the origin may close it at any time, as one that was used
        self.transport.resume_reading()

    def fail(self, error: BaseException) -> None:
        """End the exchange with this error, and the connection."""
        response, self._current = self._current, None
        self.abort()
        if response is not None:
            response.failed(error)

    def abandon(self) -> None:
        """The exchange is of no more use: close."""
        self._current = None
        self.abort()

    def abort(self) -> None:
        """Close at once; safe to call twice."""
        self.transport.abort()
        self.leave()

    def leave(self) -> None:
        """Give up timer and owner; the transport is somebody else's now, or closed."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._raw is not None and self._raw.upload is not None:
            self._raw.upload.stop()
        if self.owner is not None:
            self.owner.gone(self)

    def usable(self) -> bool:
        """Whether an idle connection can take a request: open, and with nothing to read."""
        if self.closed or self.transport.is_closing():
            return False
        readable = self._readable
        if readable is None:
            self._readable = readable = self._poll()
        return not readable(0)

    def _poll(self) -> Callable[[int], object]:
        if not _POLL:
            return bool  # bool(0): the event loop alone notices
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return poll.poll

    # The clock.

    def _look(self) -> None:
        self._timer = None
        current = self._current
        if current is None and self._raw is None:
            return
        now = self.loop.time()
        if not self._awaits_origin(current):
            self.since = now
        due = self.since + self.options.read_timeout
        if now < due:
            self._timer = self.loop.call_at(due, self._look)
            return
        if self._drained is not None:
            word, sentence = "connection_write_timeout", f"{self.peer} does not take the request."
        else:
            word, sentence = "connection_read_timeout", f"{self.peer} has fallen silent."
        self.fail(Lost(504, word, sentence))

    def _awaits_origin(self, current: Response | Again | None) -> bool:
        if self._drained is not None or current is None:
            return self._drained is not None
        return not current.paused and (current.upload is None or current.upload.whole)


class Raw:
    """An ``Upgraded`` connection: what came before ``detach`` is kept, also that it ended.

    ``pool`` is where ``keep`` leaves it; without one it is closed.
    """

    __slots__ = ("_connection", "_listener", "early", "ended", "head", "pool", "upload")

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead | None,
        early: bytes,
        upload: Upload | None,
    ) -> None:
        self.head = head
        self.early = early
        self.upload = upload
        self.ended = False
        self.pool: Callable[[Connection], None] | None = None
        self._connection = connection
        self._listener: Callable[[], None] | None = None

    def listen(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` once, when the origin says something or leaves; at once if it has."""
        self._listener = heard
        if self.early or self.ended:
            self.heard()
        else:
            self._connection.transport.resume_reading()

    def heard(self) -> None:
        """The origin has said something, or left: no more is read before that is dealt with."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._connection.transport.pause_reading()
            listener()

    def keep(self) -> None:
        """Leave it to requests: idle in the pool, if there is room and nothing has come."""
        self._listener = None
        if self.early or self.ended or self.pool is None or self._connection.closed:
            self.close()
        else:
            self._connection.resume_http()
            self.pool(self._connection)

    async def sent(self) -> None:
        """Wait until the content of the request is sent. Raises UpstreamError, or ClientGone."""
        if self.upload is not None:
            await self.upload.done()

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """The transport, its reading paused, and the octets that had already arrived."""
        connection, self._listener = self._connection, None
        connection.leave()
        if not connection.transport.is_closing():
            connection.transport.pause_reading()
        if self.ended or connection.transport.is_closing():
            # Whoever takes it sets a protocol now, which must hear what we have heard.
            asyncio.get_running_loop().call_soon(_say_again, connection.transport)
        return connection.transport, self.early

    def close(self) -> None:
        """Close it if nobody has taken it."""
        self._listener = None
        if not self._connection.closed:
            self._connection.abort()


def _say_again(transport: asyncio.Transport) -> None:
    protocol = cast("asyncio.Protocol", transport.get_protocol())
    if transport.is_closing():
        protocol.connection_lost(None)
    elif not protocol.eof_received():
        transport.close()
