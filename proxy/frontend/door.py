"""What all client connections of a process share, and the sweep that ends the idle ones."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from proxy.access.rules import Denied
from proxy.exchange import errors
from proxy.frontend.heard import Hearing
from proxy.frontend.reception import Own
from proxy.policy.reasons import Reason
from proxy.wire.heads import Limits

if TYPE_CHECKING:
    from proxy.access.rules import Rules
    from proxy.exchange.exchange import Exchange
    from proxy.exchange.hot import Hot
    from proxy.exchange.record import Observer
    from proxy.frontend.connection import Connection
    from proxy.frontend.options import ServerOptions
    from proxy.frontend.tunnel import Tunnel
    from proxy.upstream.base import Fetcher

_FULL: Final = "There are too many connections; close some, or raise [server] max_connections."
SWEEP: Final = 1.0  # seconds between looks at every connection: one timer for all of them

# Whether anything is stored whose key begins so. Raises StoreFailed.
Stored = Callable[[str], Awaitable[bool]]


async def _nothing_stored(_: str) -> bool:
    """Until somebody who can look says more."""
    return False


class Door:
    """Built once, handed to each connection."""

    def __init__(
        self,
        options: ServerOptions,
        rules: Rules,
        exchange: Exchange,
        hot: Hot,
        fetcher: Fetcher,
        observe: Observer,
    ) -> None:
        self.options = options
        self.rules = rules
        self.exchange = exchange
        self.hot = hot
        self.fetcher = fetcher
        self.observe = observe
        limits = options.limits
        self.limits = Limits(limits.request_head, limits.request_line, limits.fields)
        self.hearing = Hearing(self.limits, rules)
        self.connections: set[Connection] = set()
        self.tunnels: set[Tunnel] = set()
        self.per_client: Counter[str] = Counter()
        self.stored: Stored = _nothing_stored
        self.draining = False
        self._timer: asyncio.TimerHandle | None = None

    def full(self, client: str) -> bool:
        """Whether one more connection, from this address, is too many."""
        return (
            len(self.connections) + len(self.tunnels) >= self.options.max_connections
            or self.per_client[client] >= self.options.max_connections_per_client
        )

    def denied(self, client: str) -> Own | None:
        """The only answer that one more connection from this address gets; None: any."""
        verdict = self.rules.client(client)
        if isinstance(verdict, Denied):
            reason = Reason.DENIED_CLIENT
            answer = errors.own(403, reason, verdict.sentence, error="http_request_denied")
        elif self.full(client):
            reason = Reason.TOO_MANY_CONNECTIONS
            answer = errors.own(503, reason, _FULL, error="connection_limit_reached")
        else:
            return None
        return Own(answer, reason, close=True)

    def enter(self, client: str) -> None:
        """A connection from this address began."""
        self.per_client[client] += 1

    def leave(self, client: str) -> None:
        """It ended."""
        self.per_client[client] -= 1
        if self.per_client[client] <= 0:
            del self.per_client[client]

    def watch(self) -> None:
        """Begin to sweep."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self.watch()
        now = time.time()
        for connection in list(self.connections):
            connection.sweep(now)
        for tunnel in list(self.tunnels):
            tunnel.sweep(now, self.options.limits.tunnel_idle_timeout)

    def drain(self) -> None:
        """No more requests: idle connections end now, the others after their answer."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    def shut(self) -> None:
        """End everything."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.abort()
        for tunnel in list(self.tunnels):
            tunnel.abort()
