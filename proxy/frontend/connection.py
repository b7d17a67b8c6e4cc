"""One client connection: octets in, requests recognised, answers in order.

A request that memory can answer is answered inside ``data_received``; any other gets one task.
While it runs, what the client sends is its body, or waits for its turn.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from proxy.access.addresses import is_local
from proxy.access.clients import client_of
from proxy.exchange import errors
from proxy.exchange.echo import is_remembered
from proxy.exchange.record import ExchangeRecord, What, of_hit
from proxy.frontend import leaving
from proxy.frontend.awaited import Awaited
from proxy.frontend.connect import ConnectTask
from proxy.frontend.conversation import Conversation
from proxy.frontend.inbound import InboundBody
from proxy.frontend.phase import Phase
from proxy.frontend.reception import LATE, Connect, Exchanged, Own, too_many, unreadable
from proxy.frontend.sender import Sender, reset
from proxy.policy.reasons import Reason
from proxy.semantics.messages import RequestHead
from proxy.upstream.bound import Logins
from proxy.wire.framing import NoBody
from proxy.wire.heads import BadMessage, check_partial, head_end

if TYPE_CHECKING:
    from proxy.exchange.hot import Place, Prepared
    from proxy.frontend.door import Door
    from proxy.frontend.heard import Heard
    from proxy.semantics.messages import Request
    from proxy.semantics.targets import Origin

LINGER: Final = 2.0  # seconds to let the client read a refusal before the connection is cut
AHEAD: Final = 64 * 1024  # octets of pipelined requests that are read ahead
TURN: Final = 0.001  # seconds of answers to what a client sent at once; then it is others' turn


class Connection(asyncio.Protocol):
    """Lives with the socket."""

    __slots__ = (
        "_body", "_buffer", "_denied", "_door", "_full", "_local", "_memo", "_observe", "_searched",
        "_waits", "_where", "client", "conversation", "counted_as", "half_closed", "inside",
        "logins", "phase", "sender", "since", "transport",
    )  # fmt: skip

    def __init__(self, door: Door) -> None:
        # for the life of the socket
        self._door = door
        # Where requests are counted there is no way past that.
        self._memo = door.hot.memo if door.rates is None else _NO_MEMO
        self._observe = door.observe
        self.transport: asyncio.Transport
        self.sender: Sender
        self.client = self.counted_as = "-"
        self._local = False
        self._denied: Own | None = None
        self._where = b""  # what else the answer to a head depends on
        self.logins: Logins | None = None  # what is remembered for others is not for this one
        # for the life of a CONNECT whose inside is HTTP
        self.inside: Origin | None = None
        # for one request
        self.phase = Phase.HEAD
        self.since = 0.0  # when this phase last saw progress, epoch seconds
        self.conversation: Conversation | ConnectTask | Awaited | None = None
        self._body: InboundBody | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._waits = False  # for its turn, to go on with what is in the buffer
        self._full = False  # nothing is read until there is less in the buffer
        self.half_closed = False  # nothing more will come from the client

    # The socket's life.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of the class that they implement.
        self.transport = cast("asyncio.Transport", transport)
        self.sender = Sender(self.transport)
        door, self.since, number = self._door, time.time(), 0
        peer = transport.get_extra_info("peername")
        if peer is None:
            self.transport.abort()  # it left before it was accepted
        else:
            self.client = str(peer[0])
            self.counted_as = client_of(self.client)
            self._local = is_local(self.client)
            self._where = self._named()
            number = transport.get_extra_info("socket").fileno()
            self._denied = door.denied(self.client, self.counted_as, number)
        door.connections.add(self)
        if not door.enter(self.counted_as, self._denied, number):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = Phase.GONE
        self.sender.lost()
        if self._body is not None:
            self._body.lost()
        if self.conversation is not None:
            self.conversation.cancel()
        if self.logins is not None:
            self.logins.close()
        self._door.connections.discard(self)
        self._door.leave(self.counted_as, self._denied)

    def pause_writing(self) -> None:
        self.sender.pause()

    def resume_writing(self) -> None:
        self.sender.resume()
        self.since = time.time()
        if self.phase is Phase.HEAD and (self._buffer or self.half_closed) and not self._waits:
            self._go_on()

    def eof_received(self) -> bool:
        """RFC 9112 §9.6: a client may close its side and still read the answers."""
        if self._body is not None and not self._body.complete:
            self._body.lost()
        self.half_closed = True
        if self.phase is Phase.SNIFF and self._buffer:
            self._sniffed()  # nothing more will tell what it is
        if self.phase is Phase.BUSY or self.phase is Phase.GONE:
            leaving.probe(self.transport)
            return True
        return self.phase is Phase.HEAD and (self.sender.paused or self._waits)

    def sweep(self, now: float) -> None:
        """Called once a second: end what has waited too long."""
        limits, waited = self._door.options.limits, now - self.since
        if self.sender.pending:
            if self.sender.moved():
                self.since = now
            elif waited > limits.write_timeout:
                self.abort()
        elif self.phase is Phase.BUSY:
            self._sweep_busy(waited)
        elif self.phase is Phase.LINGER:
            if waited > LINGER:
                self.abort()
        elif waited > self._patience():
            if self._buffer and self.phase is Phase.HEAD:
                self.refuse(self._denied or LATE)
            else:
                self.transport.close()

    def _sweep_busy(self, waited: float) -> None:
        body, timeout = self._body, self._door.options.limits.body_timeout
        if self.half_closed and leaving.has_left(self.transport):
            self.abort()
        elif body is not None and body.starving and waited > timeout:
            body.overdue()

    def _patience(self) -> float:
        """Seconds that the client has to say what it wants."""
        limits = self._door.options.limits
        if self._denied is not None:
            return LINGER
        head = self.phase is Phase.HEAD and self._buffer
        return limits.header_timeout if head else limits.idle_timeout

    def drain(self) -> None:
        """No more requests on this connection."""
        if self.phase is Phase.SNIFF or (self.phase is Phase.HEAD and not self._buffer):
            self.transport.close()

    def abort(self) -> None:
        """Close now; what was not sent whole must not look whole."""
        if self.phase is Phase.BUSY or self.sender.pending:
            reset(self.transport)
        else:
            self.transport.abort()

    # Octets in.

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.HEAD and not self._buffer:
            prepared = self._memo.get((self._where, data))
            if prepared is not None and self._denied is None and self.send_hot(prepared):
                return
        if self._body is not None and not self._body.complete:
            self.since = time.time()
            data = self._body.feed(data)
        if self.phase is Phase.LINGER or not data:
            return
        if not self._buffer:
            self.since = time.time()
        self._buffer += data
        if self.phase is Phase.SNIFF:
            self._sniffed()
        elif self.phase is Phase.HEAD and not self.sender.paused and not self._waits:
            self.advance()
        elif len(self._buffer) > AHEAD:
            self._full = True
            self.transport.pause_reading()

    def advance(self) -> None:
        """Answer what is in the buffer, as far as that goes at once and while it is our turn."""
        began = time.time()
        self._advance(began, TURN - self._door.spent(self.counted_as))
        if self.since > began:
            self._door.spend(self.counted_as, self.since - began)

    def _advance(self, began: float, most: float) -> None:
        memo, rates = self._door.hot.memo, self._door.rates
        while self.phase is Phase.HEAD and self._buffer and not self.sender.paused:
            if most <= 0 or self.since - began > most:  # when the last answer was sent
                self._waits = True
                self._door.later(self)
                return
            try:
                end = head_end(self._buffer, self._searched)
                if end < 0:
                    check_partial(self._buffer, self._door.limits, self._searched)
                    self._searched = len(self._buffer)
                    break
            except BadMessage as error:
                self.refuse(unreadable(error))
                return
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._searched = 0
            if rates is not None and (wait := rates.take(self.counted_as, time.monotonic())):
                self._take(raw, too_many(wait))
                continue
            prepared = memo.get((self._where, raw))
            if prepared is None or self._denied is not None or not self.send_hot(prepared):
                self._take(raw)
        if self._full and self.phase is Phase.HEAD and not self.sender.paused:
            self._full = False
            self.transport.resume_reading()

    def resume(self) -> None:
        """It is our turn again."""
        self._waits = False
        if self.phase is Phase.HEAD and not self.sender.paused:
            self._go_on()

    def _take(self, raw: bytes, refusal: Own | None = None) -> None:
        """One whole request head, which gets the ``refusal`` if there is one."""
        try:
            heard = self._door.hearing.hear(raw, self.inside, self._where, local=self._local)
        except BadMessage as error:
            self.refuse(self._denied or unreadable(error))
            return
        head, framing, reception, keep = heard
        if self._denied is not None:
            self.refuse(self._denied, head)
            return
        bodiless = isinstance(framing, NoBody)
        match refusal or reception:
            case Own() as answer:
                self._answer_own(answer, head, keep and bodiless and not self._door.draining)
            case Connect() as wanted:
                self._connect(head, wanted, keep and not self._door.draining)
            case Exchanged(request, logs_in):
                if logs_in:
                    self._log_in(request.uri.origin)
                plain = bodiless and keep and head.minor and head.method in _READING
                if not plain or self.logins is not None or not self._hot(raw, heard, request):
                    self.converse(heard, request)

    def _connect(self, head: RequestHead, wanted: Connect, keep: bool) -> None:
        self.phase, self.since = Phase.BUSY, time.time()
        self.conversation = task = ConnectTask(self, self._door, head, wanted, keep=keep)
        task.begin()

    def _log_in(self, origin: Origin) -> None:
        if self.logins is None:
            self.logins = Logins()
            self._where = self._named()
        self.logins.begin(origin)

    def _named(self) -> bytes:
        """What else the answer to a head depends on."""
        start = b"" if self._local else _ELSEWHERE
        if self.logins is not None:
            start = b"\0" + start  # nothing is found
        return start if self.inside is None else start + f"{self.inside}\n".encode("latin-1")

    # Answers without a task.

    def _hot(self, raw: bytes, heard: Heard, request: Request) -> bool:
        # The origin has to be asked each time, or each answer is another one.
        if self._door.draining or is_remembered(request) or self._door.options.exchange_ids:
            return False
        hot = self._door.hot
        store, key = hot.store, hot.key(request)
        place: Place | None = None
        found = store.peek(key)
        if found is None:
            found = store.at_once(key)
        else:
            place = self._where, raw
        if found is None:
            awaited = Awaited(self, self._door, heard, request)
            if not awaited.begin(key):
                return False
            self.phase, self.conversation = Phase.BUSY, awaited
            return True
        prepared = hot.prepare(place, request, found, time.time())
        return prepared is not None and self.send_hot(prepared)

    def send_hot(self, prepared: Prepared, started: float | None = None) -> bool:
        """Whether it is still valid, and can be sent now; ``started``: when it was asked for."""
        now = time.time()
        block = prepared.block(now)
        if block is None or self.sender.paused:
            return False
        if prepared.follows:
            self.transport.writelines((block, prepared.follows))
        else:
            self.transport.write(block)
        self.since = now
        start, elapsed = (now, 0.0) if started is None else (started, now - started)
        self._observe(of_hit(start, self.client, prepared.what, elapsed))
        if self._door.draining:
            self.close()
        return True

    def _answer_own(self, own: Own, head: RequestHead, keep: bool) -> None:
        """An answer of the proxy's own, in order, at once."""
        if own.close or not keep:
            self.refuse(own, head)
        else:
            self.write_own(own, head, keep=True)

    def refuse(self, own: Own, head: RequestHead | None = None) -> None:
        """Answer and close, but let the client read the answer first (RFC 9112 §9.6)."""
        self.write_own(own, head or _UNREAD, keep=False)
        self.close()

    def write_own(self, own: Own, head: RequestHead, *, keep: bool) -> None:
        outcome = self._door.exchange.own(own.answer, own.reason)
        sender, before = self.sender, self.sender.sent
        sender.send_own(head, outcome.answer, keep)
        now = self.since = time.time()
        self._observe(
            ExchangeRecord(
                now, 0.0, self.client, What(
                    head.method, head.target, head.minor, own.answer.head.status,
                    sender.sent - before, own.reason, "text/plain", id=outcome.id,
                ),
            )
        )  # fmt: skip

    # Answers with a task.

    def converse(self, heard: Heard, request: Request) -> None:
        """Let the exchange answer it."""
        head, framing, _, keep = heard
        self.phase, self.since = Phase.BUSY, time.time()
        if not isinstance(framing, NoBody):
            window = self._door.options.limits.buffer
            self._body = InboundBody(self.transport, framing, self._door.limits, window)
            rest = self._body.feed(bytes(self._buffer))
            self._buffer[:] = rest
            if self.half_closed and not self._body.complete:
                self._body.lost()  # nothing more comes of it
        keep = keep and not self._door.draining
        self.conversation = begun = Conversation(self, self._door, head, self._body, keep)
        begun.exchange(request, framing)

    def answered(self, keep: bool) -> None:
        """The conversation is over: on to the next request, or to the end."""
        self._body = self.conversation = None
        if self.phase is Phase.GONE:
            return
        self.since = time.time()
        if not keep:
            self.close()
            return
        self.phase = Phase.HEAD
        self._go_on()
        if self._door.draining:
            self.drain()

    def _go_on(self) -> None:
        if not self.half_closed:
            self._full = len(self._buffer) > AHEAD
            if not self._full:
                self.transport.resume_reading()
        self.advance()
        waits = self.sender.paused or self._waits
        if self.half_closed and self.phase is Phase.HEAD and not waits:
            self.close()

    def broken(self) -> None:
        """The answer was cut: reset, so that nobody takes it for whole, unless its framing tells.

        A reset would take what was sent before from a client that has not read it yet."""
        read = self._body is None or self._body.complete
        self._body = self.conversation = None
        if self.phase is not Phase.GONE:
            if self.sender.cut_shows and read:
                self.close()
                return
            self.phase, self.since = Phase.LINGER, time.time()
            reset(self.transport)

    @property
    def idle(self) -> bool:
        """Whether the client has all its answers, and has asked for nothing more."""
        waits = self.phase is Phase.HEAD and not self._buffer and not self.sender.pending
        return waits and not self.transport.is_closing()

    @property
    def silent(self) -> bool:
        """Whether the client has said nothing that is not answered."""
        return not self._buffer

    def hold(self) -> None:
        """A tunnel is being dialled: what comes meanwhile waits."""
        self.phase, self.since = Phase.BUSY, time.time()
        self.transport.pause_reading()

    def close(self) -> None:
        """What was sent is whole: close, but let the client read it."""
        self.phase, self.since = Phase.LINGER, time.time()
        self._body = None
        self._buffer.clear()
        if self.half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # ENOTCONN: the client has reset it, which nobody has read yet
            self.transport.abort()
        else:
            self.transport.resume_reading()

    # After CONNECT.

    def sniff(self) -> None:
        """CONNECT was granted: wait for what comes first."""
        self.phase, self.since = Phase.SNIFF, time.time()
        if not self.half_closed:
            self.transport.resume_reading()
        elif not self._buffer:
            self.transport.close()
        if self._buffer:
            self._sniffed()

    def _sniffed(self) -> None:
        assert isinstance(self.conversation, ConnectTask)
        self.conversation.sniffed(bytes(self._buffer))

    def speak_http(self, inside: Origin) -> None:
        """Inside the CONNECT is plain HTTP: serve it like any other."""
        self.inside = inside
        self._where = self._named()
        self.conversation = None
        self.phase = Phase.HEAD
        self._go_on()

    def hand_over(self) -> bytes:
        """The transport becomes a tunnel's; returns what had arrived."""
        early = bytes(self._buffer)
        self._buffer.clear()
        self.phase = Phase.GONE
        self.conversation = None
        if self.logins is not None:
            self.logins.close()
        self._door.connections.discard(self)
        return early


_NO_MEMO: Final[dict[Place, Prepared]] = {}
_READING: Final = frozenset({"GET", "HEAD"})
_ELSEWHERE: Final = b"\n"  # what is remembered is for local clients or others
_UNREAD: Final = RequestHead("-", "-", 1, errors.own(400, Reason.BAD_REQUEST, "").head.fields)
