"""The port of the upstream floor and its errors, by blame and phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from asyncio import Transport

    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead
    from proxy.semantics.targets import Origin, TargetURI
    from proxy.upstream.bound import Bound


class UpstreamError(Exception):
    """Something between us and the origin went wrong.

    ``status`` is what we would answer, ``word`` the RFC 9209 §2.3 error type, ``detail`` one
    sentence for the client without internals or credentials.
    """

    def __init__(self, status: int, word: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.word = word
        self.detail = detail


class NotReached(UpstreamError):
    """No request was sent: name, address, connection, TLS, or access refused it."""


class Prohibited(NotReached):
    """Access refused it: no failure of the origin, and nothing stands in for what it would say."""


class NotTunnelled(NotReached):
    """A parent proxy will not open a tunnel there; plain HTTP it may relay all the same."""


class Lost(UpstreamError):
    """Cut, silent or late after the request (or a part of it) was sent."""


class BadResponse(UpstreamError):
    """The origin sent what is not an HTTP/1 response, or one of ambiguous framing."""


class Outgoing(NamedTuple):
    """A request ready to send: fields complete (Host, Via, ...) but for framing.

    ``body`` streams (None: no body); ``length`` is its Content-Length or None for chunked.
    ``upgrade``: Connection and Upgrade fields are in ``fields`` on purpose; a 101 is expected.
    ``client``: for whom, as ``access.clients.client_of`` has it; what it uses is counted for it.
    """

    method: str
    uri: TargetURI
    fields: Fields
    body: RequestBody | None = None
    length: int | None = None
    upgrade: bool = False
    client: str = ""


class RequestBody(Protocol):
    """The client's request body."""

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises ClientGone if the client cut it."""


class ClientGone(Exception):
    """The client left, or broke its own framing, before its body was whole."""


class UpstreamResponse(Protocol):
    """A final response: the head has come, the body streams. It is a ``BodyReader``.

    ``length``: Content-Length if the body has one, else None. Closing it before the end closes
    the connection; reading to b"" gives the connection back to the pool. ``octets`` are the head
    as it came, b"" where they are not known. ``trailers`` have come once the body is whole.
    """

    head: ResponseHead
    length: int | None
    octets: bytes
    trailers: Fields

    def at_hand(self) -> bytes | None:
        """The whole body if it has all arrived already (then it is consumed), else None."""

    async def read(self) -> bytes: ...

    def close(self) -> None: ...


@runtime_checkable
class Upgraded(Protocol):
    """A connection that stopped being HTTP: after a 101.

    Whoever takes it calls ``detach`` once, and from then on owns the transport; the bytes that
    had already arrived come with it. Its reading is paused. ``close`` is for whoever does not.
    """

    head: ResponseHead | None

    async def sent(self) -> None:
        """Wait until the content of the request is with the origin: what follows is the tunnel's.

        Raises UpstreamError, or ClientGone.
        """

    def detach(self) -> tuple[Transport, bytes]: ...

    def close(self) -> None: ...


class Dialled(Upgraded, Protocol):
    """A connection made for CONNECT before it is known what for; ``early``: what has come."""

    early: bytes

    def listen(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` when the origin says something or leaves; at once if it has."""

    def keep(self) -> None:
        """Leave it to requests: idle in the pool, if there is room and nothing has come."""


OnInterim = Callable[["ResponseHead"], None]


class Said(NamedTuple):
    """A response head in octets, ``before`` and ``after`` the value of Date, and its body's length.

    ``size`` is that of the whole message.
    """

    before: bytes
    after: bytes
    size: int


class Repeated(Protocol):
    """A request on its way whose response is expected to be the last one, but for its Date.

    ``date`` is that of the response, and ``body`` its body, if it was; else "".
    """

    date: str
    body: bytes

    async def instead(self) -> UpstreamResponse:
        """What has come in place of the expected response. Raises UpstreamError."""

    def close(self) -> None:
        """Nobody wants it any more; ``heard`` is not called."""


class Fetcher(Protocol):
    """Sends requests to origins, directly or through a parent. Pools, retries nothing but the

    one loss on a reused connection that RFC 9112 §9.3.1 allows (GET and HEAD without a body)."""

    async def fetch(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> UpstreamResponse:
        """The final response when its head has come. Raises UpstreamError,

        and ClientGone if reading the request body does. Cancelled, it closes the connection.
        Each interim response (1xx but 101) is handed to ``on_interim`` in order. ``bound``: the
        client has logged in there, so it goes on a connection that is for this client alone.
        """

    def again(
        self,
        request: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None = None,
    ) -> Repeated | None:
        """Send a GET without a body at once, on an idle connection; None if there is none.

        ``heard`` is called, not before this has returned, when ``expected`` has come and ``fits``
        says that it will do, or when anything else has, which is then had by ``instead``.
        """

    async def upgrade(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> UpstreamResponse | Upgraded:
        """The same for a request with ``upgrade``: Upgraded if the origin agrees with 101."""

    def has_idle(self, origin: Origin) -> bool:
        """Whether the pool has what ``dial`` would make: a proof that the origin is there."""

    def close_idle(self) -> int:
        """Close what waits for its next request; how many those were."""

    async def dial(self, origin: Origin, via: str, client: str = "") -> Dialled:
        """A fresh connection for CONNECT, through the parent if routed. Raises UpstreamError.

        ``via`` is the Via of a CONNECT to the parent.
        """
