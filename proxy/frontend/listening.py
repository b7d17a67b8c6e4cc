"""Sockets that listen: bound at once, or an error that says what to do."""

from __future__ import annotations

import socket
import sys
from typing import Final

from proxy.frontend.options import Listener

BACKLOG: Final = 1024
# Elsewhere the option exists, but the kernel does not spread connections over the sockets.
_SPREADS: Final = sys.platform == "linux"


def listening(listener: Listener, otherwise: str) -> socket.socket:
    """A socket. Raises OSError, with ``otherwise`` as what to do."""
    return spread(listener, 1, otherwise)[0]


def spread(listener: Listener, count: int, otherwise: str) -> list[socket.socket]:
    """So many, on one port: each gets its share of the connections. Raises OSError as above.

    Where the kernel cannot do that it is the same socket each time.
    """
    sockets: list[socket.socket] = []
    try:
        _bind(sockets, listener)
        if _SPREADS and count > 1:
            # Only now: a socket of somebody else on that port had to be an error.
            sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            same = Listener(*sockets[0].getsockname()[:2])
            for _ in range(count - 1):
                _bind(sockets, same, socket.SO_REUSEPORT)
        for sock in sockets:
            sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise OSError(
            error.errno, f"cannot listen on {listener}: {error.strerror}. {otherwise}"
        ) from error
    return sockets if len(sockets) == count else sockets * count


def _bind(sockets: list[socket.socket], listener: Listener, *options: int) -> None:
    sock = socket.socket(socket.AF_INET6 if ":" in listener.host else socket.AF_INET)
    sockets.append(sock)
    sock.setblocking(False)
    for option in (socket.SO_REUSEADDR, *options):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((listener.host, listener.port))
