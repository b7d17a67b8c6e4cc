"""Where a process serves: what is bound for it and, among several workers, which one it is."""

from __future__ import annotations

import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.admin.options import OFF
from proxy.admin.server import Server
from proxy.frontend.listening import spread
from proxy.frontend.options import parse_listener

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from proxy.config import Settings

log = logging.getLogger("forecache")

# What a supervisor says to a worker. When it says nothing any more it is gone, and so is he.
DRAIN: Final = b"d"
STOP: Final = b"s"
REOPEN: Final = b"r"
_OTHERWISE: Final = (
    "Is another proxy running there? Choose an address with --listen or [server] listen"
)


class Post(NamedTuple):
    """``admin`` is for worker 0 to serve. All workers go by one ``pseudonym``.

    Only among several there is a ``folder`` of what they share besides the cache, and ``orders``,
    from which the worker hears its supervisor and to which it says that it is ready.
    """

    listeners: tuple[socket.socket, ...]
    admin: Server | None
    pseudonym: str
    worker: int = 0
    workers: int = 1
    folder: Path | None = None
    orders: socket.socket | None = None

    @property
    def token(self) -> str:
        """How the ids of its exchanges begin; "" for anyhow."""
        return f"{self.worker}.{secrets.token_hex(4)}" if self.workers > 1 else ""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [sock.getsockname()[:2] for sock in self.listeners]


def posts(settings: Settings, workers: int = 1) -> list[Post]:
    """Bound, for so many. Raises OSError with what to do when an address cannot be listened on."""
    with contextlib.ExitStack() as opened:
        spreads = []
        for listener in map(parse_listener, settings.server.listen):
            spreads.append(spread(listener, workers, _OTHERWISE))
            for sock in spreads[-1]:
                opened.enter_context(sock)
        admin = _admin(settings)
        opened.pop_all()
    pseudonym = f"forecache-{secrets.token_hex(4)}"
    return [
        Post(sockets, admin, pseudonym, worker, workers)
        for worker, sockets in enumerate(zip(*spreads, strict=True))
    ]


def _admin(settings: Settings) -> Server | None:
    """The admin listener, bound. Raises OSError with what to do, if it was put there on purpose."""
    if settings.admin.listen == OFF:
        return None
    try:
        return Server(settings.admin)
    except OSError as error:
        if any(given.key == "admin.listen" for given in settings.given):
            raise
        # A second proxy on this machine: that it serves matters more.
        log.warning("nobody can look inside: %s", error.strerror)
        return None
