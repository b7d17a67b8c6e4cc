"""What stands behind a ``Door`` in tests: an exchange, a memo, a dialler, each told what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from proxy.access.rules import AccessOptions, Rules
from proxy.exchange.answer import Answer, Flow, Inline, Outcome
from proxy.exchange.record import ExchangeRecord, What
from proxy.frontend.connection import Connection
from proxy.frontend.door import Door
from proxy.frontend.options import ServerOptions
from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from proxy.semantics.messages import PHRASES, ResponseHead
from proxy.store.base import Found
from tests.support.build import fields
from tests.support.transport import FakeTransport, turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.exchange.answer import Body, Inbound
    from proxy.exchange.exchange import Exchange
    from proxy.exchange.hot import Hot, Place, Prepared
    from proxy.semantics.messages import Request, RequestHead
    from proxy.semantics.targets import Origin
    from proxy.upstream.base import Fetcher


def outcome(body: Body | bytes, *lines: str, status: int = 200) -> Outcome:
    """An answer that came from the origin."""
    head = ResponseHead(status, PHRASES[status], fields(*lines))
    return Outcome(
        Answer(head, Inline(body) if isinstance(body, bytes) else body), Reason.MISS, 200
    )


class Reader:
    """A ``BodyReader``: these pieces, then the end or an error; waits where an event stands."""

    def __init__(self, *steps: bytes | asyncio.Event | Exception) -> None:
        self._steps = list(steps)
        self.closed = False

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await step.wait()
        return b""

    def close(self) -> None:
        self.closed = True


class StoredOctets:
    """A ``StoredBody`` in memory, or with the descriptor of a file."""

    def __init__(self, octets: bytes = b"", descriptor: int | None = None) -> None:
        self.length = len(octets)
        self.closed = False
        self._octets = octets
        self._descriptor = descriptor

    def fileno(self) -> int | None:
        return self._descriptor

    async def read_at(self, offset: int, size: int) -> bytes:
        return self._octets[offset : offset + size]

    def close(self) -> None:
        self.closed = True


class Dialled(asyncio.Protocol):
    """The port's over a fake transport, its reading paused as promised; also any ``Upgraded``."""

    def __init__(self, early: bytes = b"", head: ResponseHead | None = None) -> None:
        self.transport = FakeTransport(("203.0.113.1", 443))
        self.transport.pause_reading()
        self.transport.set_protocol(self)
        self.early = early
        self.head = head
        self.detached = self.closed = self.kept = False
        self._ended = False
        self._listener: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        self.early += data
        self._tell()

    def eof_received(self) -> bool:
        self._ended = True
        self._tell()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self.transport.pause_reading()
            listener()

    def listen(self, heard: Callable[[], None]) -> None:
        self._listener = heard
        if self.early or self._ended:
            self._tell()
        else:
            self.transport.resume_reading()

    def keep(self) -> None:
        self._listener, self.kept = None, True

    async def sent(self) -> None:
        """There was no content."""

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        self._listener, self.detached = None, True
        self.transport.pause_reading()
        return self.transport, self.early

    def close(self) -> None:
        self._listener, self.closed = None, True
        self.transport.abort()


class FakeExchange:
    """Echoes the request, unless there is a handler for its path."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Inbound], Awaitable[Outcome]]] = {}
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []  # the whole ones
        self.cancelled = 0

    async def handle(self, inbound: Inbound) -> Outcome:
        self.requests.append(inbound.request)
        handler = self.handlers.get(inbound.request.uri.path, self._echo)
        try:
            return await handler(inbound)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def repeat(self, inbound: Inbound, heard: Callable[[], None]) -> None:
        """Nothing is known of any request."""

    async def _echo(self, inbound: Inbound) -> Outcome:
        request = inbound.request
        body = await self.read(inbound)
        return outcome(f"{request.method} {request.uri} ".encode() + body)

    async def read(self, inbound: Inbound) -> bytes:
        """The whole request body."""
        pieces = []
        while inbound.body is not None and (piece := await inbound.body.read()):
            pieces.append(piece)
        self.bodies.append(b"".join(pieces))
        return self.bodies[-1]

    def answer(self, path: str, answer: Outcome, gate: asyncio.Event | None = None) -> None:
        """Answer requests for that path so, after the gate; their bodies are not read."""

        async def handler(_: Inbound) -> Outcome:
            if gate is not None:
                await gate.wait()
            return answer

        self.handlers[path] = handler

    def connecting(self, head: RequestHead) -> str:
        return "1.1 here"

    def interim(self, head: ResponseHead) -> ResponseHead:
        return head

    def own(self, answer: Answer, reason: Reason) -> Outcome:
        return Outcome(answer, reason)


class FakePrepared:
    """A memoised answer with everything of ``Prepared`` that the door looks at."""

    def __init__(self, block: bytes, follows: bytes = b"") -> None:
        self.valid = True
        self.follows = follows
        sent = len(block) + len(follows)
        self.what = What("GET", "http://a.example/hot", 1, 200, sent, Reason.HIT)
        self._block = block

    def block(self, now: float) -> bytes | None:
        return self._block if self.valid else None


class FakeHot:
    """Remembers by head what ``answers`` has for a URI; what ``comes`` has to be waited for."""

    def __init__(self) -> None:
        self.memo: dict[Place, Prepared] = {}
        self.answers: dict[str, FakePrepared] = {}
        self.asked = 0
        self.comes = False
        self.waiting: list[Callable[[Found | None], None]] = []
        self.store = self

    def key(self, request: Request) -> str:
        return str(request.uri)

    def peek(self, key: str) -> Found | None:
        return None if self.comes else Found((), 0)

    def at_once(self, key: str) -> Found | None:
        return None

    def soon(self, key: str, then: Callable[[Found | None], None]) -> bool:
        self.waiting.append(then)
        return True

    def prepare(
        self, place: Place | None, request: Request, found: Found, now: float
    ) -> Prepared | None:
        self.asked += 1
        prepared = self.answers.get(str(request.uri))
        if prepared is None:
            return None
        answer = cast("Prepared", prepared)
        if place is not None:
            self.memo[place] = answer
        return answer


class FakeFetcher:
    """Dials what ``result`` is: a connection or an error, after ``gate``; may have one ``idle``."""

    def __init__(self) -> None:
        self.idle = False
        self.result: Dialled | Exception = Dialled()
        self.gate: asyncio.Event | None = None
        self.origins: list[Origin] = []
        self.cancelled = 0

    def has_idle(self, origin: Origin) -> bool:
        return self.idle

    def close_idle(self) -> int:
        return int(self.idle)

    async def dial(self, origin: Origin, via: str, client: str = "") -> Dialled:
        self.origins.append(origin)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


ACCESS = AccessOptions(
    clients=("192.0.2.0/24", "2001:db8::/32", "127.0.0.0/8"), connect_ports=(80, 443, 8080)
)


class Behind:
    """A door and what is behind it."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.exchange = FakeExchange()
        self.hot = FakeHot()
        self.fetcher = FakeFetcher()
        self.records: list[ExchangeRecord] = []
        self.door = Door(
            options or ServerOptions(),
            Rules(ACCESS),
            cast("Exchange", self.exchange),
            cast("Hot", self.hot),
            cast("Fetcher", self.fetcher),
            self.records.append,
        )

    def client(self, address: str = "192.0.2.1") -> Client:
        """A client that has just connected."""
        return Client(self.door, address)

    @property
    def empty(self) -> bool:
        """Whether nothing is counted any more."""
        door = self.door
        return not (door.connections or door.tunnels or door.shares.total or door.turned_away)


class Client:
    """The other side of one ``Connection``, without a socket between."""

    def __init__(self, door: Door, address: str) -> None:
        self.transport = FakeTransport((address, 40000))
        self.connection = Connection(door)
        self.transport.attach(self.connection)

    async def send(self, octets: bytes) -> bytes:
        """Send them at once, let everything happen, and give back all that was answered since."""
        before = len(self.transport.written)
        self.transport.feed(octets)
        await turns()
        return bytes(self.transport.written[before:])

    async def drip(self, octets: bytes) -> bytes:
        """The same octet by octet."""
        before = len(self.transport.written)
        for at in range(len(octets)):
            self.transport.feed(octets[at : at + 1])
            await turns(3)
        await turns()
        return bytes(self.transport.written[before:])

    @property
    def open(self) -> bool:
        """Whether it could send another request."""
        return self.connection.phase is Phase.HEAD and not self.transport.ended


def get(path: str = "/a", *lines: str, method: str = "GET", minor: int = 1) -> bytes:
    """A request for a.example, in absolute-form."""
    head = [f"{method} http://a.example{path} HTTP/1.{minor}", "Host: a.example", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


def flow(*steps: bytes | asyncio.Event | Exception, length: int | None = None) -> Flow:
    """A streamed body."""
    return Flow(Reader(*steps), length)
