"""The port of the upstream floor and its errors, by blame and phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from asyncio import Transport

    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead
    from proxy.semantics.targets import Origin, TargetURI


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


class Lost(UpstreamError):
    """Cut, silent or late after the request (or a part of it) was sent."""


class BadResponse(UpstreamError):
    """The origin sent what is not an HTTP/1 response, or one of ambiguous framing."""


class Outgoing(NamedTuple):
    """A request ready to send: fields complete (Host, Via, ...) but for framing.

    ``body`` streams (None: no body); ``length`` is its Content-Length or None for chunked.
    ``upgrade``: Connection and Upgrade fields are in ``fields`` on purpose; a 101 is expected.
    """

    method: str
    uri: TargetURI
    fields: Fields
    body: RequestBody | None = None
    length: int | None = None
    upgrade: bool = False


class RequestBody(Protocol):
    """The client's request body."""

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises ClientGone if the client cut it."""


class ClientGone(Exception):
    """The client left, or broke its own framing, before its body was whole."""


class UpstreamResponse(Protocol):
    """A final response: the head has come, the body streams. It is a ``BodyReader``.

    ``length``: Content-Length if the body has one, else None. Closing it before the end closes
    the connection; reading to b"" gives the connection back to the pool.
    """

    head: ResponseHead
    length: int | None

    def at_hand(self) -> bytes | None:
        """The whole body if it has all arrived already (then it is consumed), else None."""

    async def read(self) -> bytes: ...

    def close(self) -> None: ...


@runtime_checkable
class Upgraded(Protocol):
    """A connection that stopped being HTTP: after a 101, or dialled for CONNECT.

    Whoever takes it calls ``detach`` once, and from then on owns the transport; the bytes that
    had already arrived come with it. Its reading is paused. ``close`` is for whoever does not.
    """

    head: ResponseHead | None

    def detach(self) -> tuple[Transport, bytes]: ...

    def close(self) -> None: ...


OnInterim = Callable[["ResponseHead"], None]


class Fetcher(Protocol):
    """Sends requests to origins, directly or through a parent. Pools, retries nothing but the

    one loss on a reused connection that RFC 9112 §9.3.1 allows (GET and HEAD without a body)."""

    async def fetch(
        self, request: Outgoing, on_interim: OnInterim | None = None
    ) -> UpstreamResponse:
        """The final response when its head has come. Raises UpstreamError,

        and ClientGone if reading the request body does. Cancelled, it closes the connection.
        Each interim response (1xx but 101) is handed to ``on_interim`` in order.
        """

    async def upgrade(
        self, request: Outgoing, on_interim: OnInterim | None = None
    ) -> UpstreamResponse | Upgraded:
        """The same for a request with ``upgrade``: Upgraded if the origin agrees with 101."""

    async def dial(self, origin: Origin) -> Upgraded:
        """A fresh connection for CONNECT, through the parent if routed. Raises UpstreamError."""
