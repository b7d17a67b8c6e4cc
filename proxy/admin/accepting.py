"""Who is let in to the admin listener: so many at a time, who say soon what they want.

Whoever looks into the proxy shares its loop, its memory and its descriptors.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from aiohttp import web

MOST: Final = 256  # connections, and a few more if all come at once
PATIENCE: Final = 30.0  # seconds; who has asked nothing is gone after twice that at the latest
UNREAD: Final = 60.0  # seconds in which a client takes nothing of what it was sent
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
)


class Accepting:
    """From ``start`` until ``close``; ``heard`` is told of each request."""

    def __init__(self, server: web.Server, most: int = MOST, patience: float = PATIENCE) -> None:
        self._server = server
        self._most = most
        self._patience = patience
        self._listening: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard: set[asyncio.BaseProtocol] = set()
        self._silent: set[asyncio.BaseProtocol] = set()

    async def start(self, sock: socket.socket) -> None:
        """Accept connections of this socket."""
        loop = asyncio.get_running_loop()
        if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            unread = int(UNREAD * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
        self._listening = await loop.create_server(self._protocol, sock=sock)
        self._timer = loop.call_later(self._patience, self._sweep)

    def close(self) -> None:
        """Accept no more."""
        if self._listening is not None:
            self._listening.close()
        if self._timer is not None:
            self._timer.cancel()

    def heard(self, protocol: asyncio.BaseProtocol) -> None:
        """A whole head has come on this connection."""
        self._heard.add(protocol)

    def _protocol(self) -> asyncio.BaseProtocol:
        full = len(self._server.connections) >= self._most
        return _Refusing() if full else self._server()

    def _sweep(self) -> None:
        """Drop who was silent the last time, and still is."""
        connected = set[asyncio.BaseProtocol](self._server.connections)
        self._heard &= connected
        for protocol in self._server.connections:
            if protocol in self._silent and protocol not in self._heard:
                protocol.force_close()
        self._silent = connected - self._heard
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._sweep)


class _Refusing(asyncio.Protocol):
    """There are too many already."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is none of asyncio's.
        writing = cast("asyncio.WriteTransport", transport)
        writing.write(_FULL)
        writing.close()
