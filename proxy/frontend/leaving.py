"""Whether a client that has closed its side is still there.

TCP says the same of who only has nothing more to say (RFC 9112 §9.6) and of who has left. But the
system of who has left soon forgets the connection, and says so to a keep-alive probe (RFC 9293
§3.8.4): nobody has to be waited for as long as an origin may take.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

PROBE = 15  # seconds from one to the next
# Not every system has it by this name; then its own times hold.
_IDLE: Final = getattr(socket, "TCP_KEEPIDLE", None)


def probe(transport: asyncio.Transport) -> None:
    """Begin to ask."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE)
            if _IDLE is not None:
                connection.setsockopt(socket.IPPROTO_TCP, _IDLE, PROBE)


def has_left(transport: asyncio.Transport) -> bool:
    """Whether a probe was answered so; event loops do not hear it when nothing more can come."""
    connection = transport.get_extra_info("socket")
    try:
        return connection is None or connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True
