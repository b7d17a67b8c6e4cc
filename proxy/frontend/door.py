"""What all client connections of a process share, and the sweep that ends the idle ones.

No client takes all of it: connections are counted by client, and what is left of many requests that
came at once is answered by turns, a little of one client in each turn of the loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from proxy.access.clients import Lines, Rates, Shares
from proxy.access.rules import Denied
from proxy.exchange import errors
from proxy.frontend.descriptors import GRACE, Descriptors
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
_SHORT: Final = "The proxy may open no more files, and all its connections are in use. Try again."
TOLD: Final = 256  # connections that are told why they are turned away; more are just closed
SWEEP: Final = 1.0  # seconds between looks at every connection: one timer for all of them

# Whether anything is stored whose key begins so. Raises StoreFailed.
Stored = Callable[[str], Awaitable[bool]]


def _whoever(_: str) -> bool:
    """Every client may have its turn."""
    return True


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
        self.shares = Shares(options.max_connections, options.max_connections_per_client)
        self.descriptors = Descriptors(sys.maxsize, self.make_room)
        self.turned_away = 0  # connections; they are in nobody's share
        rate = limits.requests_per_second
        self.rates = Rates(rate) if rate else None
        self._backlog: Lines[Connection] = Lines()
        self._turning = False
        self._spent: dict[str, float] = {}  # seconds of answers in this turn of the loop
        self.stored: Stored = _nothing_stored
        self.draining = False
        self._timer: asyncio.TimerHandle | None = None
        self._ahead = time.time() - time.monotonic()  # by how much the wall clock was, last time

    def denied(self, address: str, client: str, number: int = 0) -> Own | None:
        """The only answer that one more connection from this address gets; None: any.

        ``client`` is what the address is counted as, ``number`` that of its descriptor.
        """
        verdict = self.rules.client(address)
        if isinstance(verdict, Denied):
            reason = Reason.DENIED_CLIENT
            answer = errors.own(403, reason, verdict.sentence, error="http_request_denied")
        elif not self.shares.may_take(client):
            reason = Reason.TOO_MANY_CONNECTIONS
            answer = errors.own(503, reason, _FULL, error="connection_limit_reached")
        elif self.descriptors.are_short(number):
            reason = Reason.TOO_MANY_CONNECTIONS
            answer = errors.own(503, reason, _SHORT, error="connection_limit_reached")
        else:
            return None
        return Own(answer, reason, close=True)

    def enter(self, client: str, denied: Own | None = None, number: int = 0) -> bool:
        """One more connection; False if it is ``denied``, and cannot even be told so."""
        if denied is None:
            self.shares.take(client)
            return True
        self.turned_away += 1
        return self.turned_away <= TOLD and not self.descriptors.are_gone(number)

    def leave(self, client: str, denied: Own | None = None) -> None:
        """It ended."""
        if denied is None:
            self.shares.give_back(client)
        else:
            self.turned_away -= 1

    def make_room(self, count: int) -> int:
        """Close so many connections that have been idle longest; how many there were."""
        before = time.time() - GRACE
        idle = [c for c in self.connections if c.idle and c.since < before]
        idle = sorted(idle, key=lambda connection: connection.since)[:count]
        for connection in idle:
            connection.drain()
        return self.fetcher.close_idle() + len(idle)

    def later(self, connection: Connection) -> None:
        """Let it go on when it is its client's turn."""
        self._backlog.add(connection.counted_as, connection)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        found = self._backlog.next(_whoever)
        self._turning = found is not None
        if found is not None:
            asyncio.get_running_loop().call_soon(self._turn)
            self._spent.pop(found[0], None)
            found[1].resume()

    def spent(self, client: str) -> float:
        """Seconds that this client's answers have taken since the loop last turned."""
        return self._spent.get(client, 0.0)

    def spend(self, client: str, seconds: float) -> None:
        """So many more."""
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._spent.clear)
        self._spent[client] = self.spent(client) + seconds

    def watch(self) -> None:
        """Begin to sweep."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self.watch()
        now = time.time()
        self._follow_the_clock(now)
        for connection in list(self.connections):
            connection.sweep(now)
        for tunnel in list(self.tunnels):
            tunnel.sweep(now, self.options.limits.tunnel_idle_timeout)

    def _follow_the_clock(self, now: float) -> None:
        """Nobody has waited longer, or is still to begin, because the wall clock was set."""
        ahead = now - time.monotonic()
        step, self._ahead = ahead - self._ahead, ahead
        if abs(step) >= SWEEP:
            everybody: list[Connection | Tunnel] = [*self.connections, *self.tunnels]
            for one in everybody:
                one.since = min(one.since + max(step, 0.0), now)

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
