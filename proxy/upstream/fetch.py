"""The ``Fetcher``: a connection for each request, and the one retry that is safe."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from proxy.semantics import session_authentication
from proxy.upstream.again import Again
from proxy.upstream.base import Lost
from proxy.upstream.connect import Connector, is_address
from proxy.upstream.connection import Unanswered
from proxy.upstream.opening import Opener, bad_credentials
from proxy.upstream.pool import Pool
from proxy.upstream.requests import render
from proxy.upstream.resolve import Resolver, look_up
from proxy.upstream.routes import Direct, Relayed, Routes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from proxy.semantics.targets import Origin
    from proxy.upstream.base import OnInterim, Outgoing, Said
    from proxy.upstream.bound import Bound
    from proxy.upstream.connect import Admit
    from proxy.upstream.connection import Connection, Raw
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.resolve import Addresses
    from proxy.upstream.response import Response
    from proxy.upstream.routes import Route

# RFC 9112 §9.3.1 would allow every idempotent method; we repeat what cannot have had an effect.
_REPEATABLE: Final = frozenset({"GET", "HEAD"})
# What cannot be repeated must not meet an origin that closes just then: seconds of idleness in
# which none does. A fresh connection costs a round trip, a lost request is the client's error.
_RESTED: Final = 1.0
_LOGGED_OUT: Final = "The connection on which this login began is gone; it has to begin again."


class Upstream:
    """The way to origins. Made and closed in the running loop. Raises ValueError for bad options.

    ``admit`` judges each address before it is connected to; ``tls`` is the context for origins
    (None: the system's trust); ``lookup`` resolves a name in a thread.
    """

    def __init__(
        self,
        options: UpstreamOptions,
        admit: Admit,
        *,
        tls: ssl.SSLContext | None = None,
        lookup: Callable[[str], Addresses] = look_up,
    ) -> None:
        self._routes = Routes(options.parent, options.no_proxy)
        self._resolver = Resolver(options.dns_ttl, lookup)
        self._connector = Connector(options, self._resolver, admit, tls)
        self._opener = Opener(options, self._connector)
        self._pool = Pool(options)
        self._retries = options.retries

    async def fetch(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> Response:
        """The final response when its head has come.

        Raises UpstreamError, and ClientGone if the request body does.
        """
        route = self._route(request)
        if not isinstance(route, Direct):
            self._judge(request.uri.origin)
        head = render(request, route)
        may_repeat = self._retries > 0 and request.body is None and request.method in _REPEATABLE
        connection = None
        if bound is not None:
            connection = _its_own(bound, request, route)
            may_repeat = may_repeat and not session_authentication.is_answer(request.fields)
        if connection is None:
            connection = self._pool.take(route, inf if may_repeat else _RESTED, request.client)
        if connection is None:
            connection = await self._connection(route, request)
        may_repeat = may_repeat and connection.served > 0
        try:
            response = _sent(connection, head, request, on_interim, bound)
            await response.arrived()
        except Unanswered:
            if not may_repeat:
                raise
            connection = await self._connection(route, request, fresh=True)
            response = _sent(connection, head, request, on_interim, bound)
            await response.arrived()
        return _accepted(response, route)

    def again(
        self,
        request: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None = None,
    ) -> Again | None:
        """Send a GET without a body at once; None if there is no idle connection for it.

        ``heard`` is called, not before this has returned, when ``expected`` has come, and ``fits``
        says that it will do; or when something else has, which is then had by ``instead``.
        """
        if not self._retries:
            return None  # what was lost on a reused connection could not be made good
        route = self._routes.choose(request.uri.origin)
        connection = self._pool.take(route, client=request.client)
        if connection is None:
            return None
        again = Again(request, expected, fits, heard, on_interim, self._instead)
        connection.send_again(render(request, route), again)
        return again

    async def _instead(self, again: Again) -> Response:
        request, response = again.request, again.response
        try:
            if response is None:
                raise again.error or AssertionError("what was expected has come")
            await response.arrived()
        except Unanswered:
            return await self.fetch(request, again.on_interim)
        return _accepted(response, self._routes.choose(request.uri.origin))

    async def upgrade(
        self, request: Outgoing, on_interim: OnInterim | None = None, bound: Bound | None = None
    ) -> Response | Raw:
        """The same, or ``Raw`` for a 101 that was asked for."""
        response = await self.fetch(request, on_interim, bound)
        return response.raw or response

    def has_idle(self, origin: Origin) -> bool:
        """Whether the pool has what ``dial`` would make: a proof that the origin is there."""
        return self._pool.has_idle(self._routes.through(origin))

    def close_idle(self) -> int:
        """Close what waits in the pool; how many those were."""
        return self._pool.close_idle()

    async def dial(self, origin: Origin, via: str, client: str = "") -> Raw:
        """A fresh connection for CONNECT, through the parent if routed, which is told ``via``.

        Raises UpstreamError.
        """
        self._judge(origin)  # before its name is resolved: what is denied is never unresolvable
        raw = await self._opener.dial(self._routes.through(origin), via, client)
        raw.pool = self._pool.add
        return raw

    def close(self) -> None:
        """Close every connection that is pooled or in use; tunnels belong to who took them."""
        self._pool.close()
        self._resolver.close()

    def admitted(self, origin: Origin) -> tuple[str, ...] | None:
        """The addresses that would be connected to; None: known once the name is resolved.

        None of them (): that is for a parent. Nothing is resolved or connected to for it. Raises
        NotReached, as ``fetch`` would, if access says no.
        """
        if self._routes.parent_for(origin) is not None:
            self._judge(origin)
            return ()
        addresses = self._connector.admitted(origin.host, origin.port)
        return None if addresses is None else tuple(address for _, address in addresses)

    def _route(self, request: Outgoing) -> Route:
        origin = request.uri.origin
        route = self._routes.choose(origin)
        if isinstance(route, Relayed) and request.fields.get("host") != origin.authority:
            # RFC 9112 §3.2.2: whoever takes absolute-form writes a Host of its own.
            return self._routes.through(origin)
        return route

    def _judge(self, origin: Origin) -> None:
        # The parent resolves names: they, and what is an address already, are ours to refuse.
        address = origin.host if is_address(origin.host) else None
        self._connector.judge(origin.host, origin.port, address)

    async def _connection(
        self, route: Route, request: Outgoing, *, fresh: bool = False
    ) -> Connection:
        client = request.client
        connection = await self._pool.claim(route, client, fresh=fresh)
        if connection is not None:
            return connection
        try:
            connection = await self._opener.open(route, request.fields.get("via") or "", client)
        except BaseException:
            self._pool.abandon(route, client)
            raise
        self._pool.adopt(connection, client)
        return connection


def _its_own(bound: Bound, request: Outgoing, route: Route) -> Connection | None:
    """The connection on which the client has logged in; None: any will do. Raises Lost."""
    connection = bound.take(route)
    if connection is None and bound.used and session_authentication.is_answer(request.fields):
        # No other connection knows the challenge: the origin could only say that it is wrong.
        raise Lost(502, "connection_terminated", _LOGGED_OUT)
    return connection


def _sent(
    connection: Connection,
    head: bytes,
    request: Outgoing,
    on_interim: OnInterim | None,
    bound: Bound | None,
) -> Response:
    if bound is not None:
        bound.adopt(connection)  # before anybody can log in on it
    return connection.send(head, request, on_interim)


def _accepted(response: Response, route: Route) -> Response:
    if isinstance(route, Relayed) and response.head.status == 407:
        response.close()
        raise bad_credentials()
    return response
