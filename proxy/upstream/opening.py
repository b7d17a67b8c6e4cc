"""Fresh connections along a route: straight to the origin, to the parent, or through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from proxy.semantics.fields import NO_FIELDS
from proxy.semantics.targets import TargetURI
from proxy.upstream.base import NotReached, NotTunnelled, Outgoing, UpstreamError
from proxy.upstream.connect import blaming
from proxy.upstream.connection import Connection, Raw
from proxy.upstream.requests import render_connect
from proxy.upstream.routes import Direct, Relayed, Tunnelled

if TYPE_CHECKING:
    from proxy.upstream.connect import Connector
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.response import Response
    from proxy.upstream.routes import Parent, Route


# What a parent says of an origin that is out of reach, or leads back here, as RFC 9209 §2.3 types.
_OUT_OF_REACH: Final = {
    502: "connection_refused",
    503: "destination_unavailable",
    504: "connection_timeout",
    508: "proxy_loop_detected",
}


class Opener:
    """Opens within ``connect_total_timeout``; what it does not return is closed."""

    def __init__(self, options: UpstreamOptions, connector: Connector) -> None:
        self._options = options
        self._connector = connector

    async def open(self, route: Route, via: str, client: str = "") -> Connection:
        """A connection ready for HTTP, on behalf of ``client``; ``via`` is for a parent.

        Raises NotReached.
        """
        peer = _peer(route)
        with blaming(peer):
            async with asyncio.timeout(self._options.connect_total_timeout):
                if isinstance(route, Relayed):
                    return await self._to_parent(route, route.parent, client)
                connection = await self._to_origin(route, via, client)
                if route.origin.scheme == "https":
                    await self._connector.secure(connection, route.origin.host)
        return connection

    async def dial(self, route: Direct | Tunnelled, via: str, client: str = "") -> Raw:
        """A connection for whatever the client wants of it. Raises NotReached."""
        origin = route.origin
        with blaming(origin.authority):
            async with asyncio.timeout(self._options.connect_total_timeout):
                if isinstance(route, Tunnelled):
                    raw = await self._tunnel(route, via, client)
                    raw.head = None  # the answer to our CONNECT, not to the client's
                    return raw
                connection = Connection(self._options, route, origin.authority)
                raw = connection.raw()  # before it is connected: some origins speak first
                await self._connector.connect(origin.host, origin.port, connection, client)
        connection.transport.pause_reading()
        return raw

    async def _to_origin(self, route: Direct | Tunnelled, via: str, client: str) -> Connection:
        connection = Connection(self._options, route, _peer(route))
        if isinstance(route, Direct):
            origin = route.origin
            return await self._connector.connect(origin.host, origin.port, connection, client)
        transport, early = (await self._tunnel(route, via, client)).detach()
        connection.connection_made(transport)
        transport.set_protocol(connection)
        if early:
            connection.abort()
            sentence = f"The parent proxy sent more than its answer about {_peer(route)}."
            raise NotReached(502, "http_protocol_error", sentence)
        return connection

    async def _to_parent(self, route: Route, parent: Parent, client: str) -> Connection:
        connection = Connection(self._options, route, "The parent proxy")
        host, port = parent.host, parent.port
        return await self._connector.connect(host, port, connection, client, judge=False)

    async def _tunnel(self, route: Tunnelled, via: str, client: str) -> Raw:
        connection = await self._to_parent(route, route.parent, client)
        connect = Outgoing("CONNECT", TargetURI(route.origin, "/"), NO_FIELDS)
        try:
            head = render_connect(route.origin, route.parent, via)
            answer = await connection.ask(head, connect)
        except UpstreamError as error:
            raise NotReached(error.status, error.word, error.detail) from error
        if isinstance(answer, Raw):
            return answer
        answer.close()
        raise _refused(answer, route)


def _refused(answer: Response, route: Tunnelled) -> NotReached:
    status = answer.head.status
    if status == 407:
        return bad_credentials()
    sentence = f"The parent proxy answered {status} to CONNECT {_peer(route)}."
    if status in _OUT_OF_REACH:
        return NotReached(status, _OUT_OF_REACH[status], sentence)
    return NotTunnelled(502, "connection_refused", sentence)


def bad_credentials() -> NotReached:
    """The parent does not accept those of ``[upstream] parent``; no client can mend that."""
    sentence = "The parent proxy asks for other credentials than [upstream] parent has."
    return NotReached(502, "proxy_configuration_error", sentence)


def _peer(route: Route) -> str:
    return "The parent proxy" if isinstance(route, Relayed) else route.origin.authority
