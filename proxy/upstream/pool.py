"""Connections between exchanges: which to reuse, when to open another, who waits, who goes.

A *slot* is the right to one connection on a route; there are ``connections_per_origin``, or any
number: also to a parent, which is no origin. Where they are counted, what one client has in use is
counted, too: it leaves some to others, and waits in a line of its own. Idle connections are taken
last in, first out, so that the surplus grows old and expires.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from proxy.access.clients import Lines, Shares
from proxy.upstream.base import NotReached
from proxy.upstream.routes import Relayed

if TYPE_CHECKING:
    from proxy.upstream.connection import Connection
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.routes import Route


class _Shelf:
    """One route: idle connections, slots taken, who has connections in use, and who waits for one.

    ``shares`` is None where any number may be open.
    """

    __slots__ = ("idle", "shares", "slots", "waiting")

    def __init__(self, most: int) -> None:
        self.idle: list[Connection] = []
        self.slots = 0
        self.shares = Shares(most) if most else None
        # Each is given a connection that another has finished with, or None: a slot to open one.
        self.waiting: Lines[asyncio.Future[Connection | None]] = Lines()

    def lend(self, connection: Connection, client: str) -> None:
        """The client has it in use."""
        if self.shares is not None:
            self.shares.take(client)
            connection.client = client

    def returned(self, connection: Connection) -> None:
        """Nobody has it in use."""
        client, connection.client = connection.client, None
        if self.shares is not None and client is not None:
            self.shares.give_back(client)

    def serve(self, connection: Connection | None) -> bool:
        """Give it, or a slot, to whose turn it is; whether there was anybody."""
        if self.shares is None:
            return False
        while (found := self.waiting.next(self.shares.may_take)) is not None:
            client, turn = found
            if turn.done():
                continue  # cancelled just now
            if connection is None:
                self.shares.take(client)
            else:
                self.lend(connection, client)
            turn.set_result(connection)
            return True
        return False


class Pool:
    """The ``Owner`` of pooled connections."""

    def __init__(self, options: UpstreamOptions) -> None:
        self._options = options
        self._now = asyncio.get_running_loop().time
        self._shelves: dict[Route, _Shelf] = {}
        self._open: dict[Connection, _Shelf] = {}
        self._idle: dict[Connection, float] = {}  # since when, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        waiting = sum(len(shelf.waiting) for shelf in self._shelves.values())
        return f"<Pool open={len(self._open)} idle={len(self._idle)} waiting={waiting}>"

    def take(self, route: Route, rested: float = inf, client: str = "") -> Connection | None:
        """An idle connection if there is one for this client; ``rested``: seconds of idleness."""
        shelf = self._shelves.get(route)
        if shelf is None or (shelf.shares is not None and not shelf.shares.may_take(client)):
            return None
        now = self._now()
        while shelf.idle:
            connection = shelf.idle.pop()
            idle = now - self._idle.pop(connection)
            if idle < rested and _lives(connection, idle):
                if shelf.shares is not None:
                    shelf.lend(connection, client)
                return connection
            connection.abort()
            if rested < inf:
                return None  # the others have been idle for longer
        return None

    def has_idle(self, route: Route) -> bool:
        """Whether ``take`` would find one."""
        shelf, now = self._shelves.get(route), self._now()
        return shelf is not None and any(
            _lives(c, now - self._idle[c]) for c in reversed(shelf.idle)
        )

    def add(self, connection: Connection) -> None:
        """One that was opened without a slot is idle now; closed if there is no slot for it."""
        shelf = self._shelf(connection.route)
        most = self._options.connections_per_origin
        if most and shelf.slots >= most:
            connection.abort()
            return
        shelf.slots += 1
        self.adopt(connection, None)
        if not connection.closed:
            self.released(connection)

    def _shelf(self, route: Route) -> _Shelf:
        shelf = self._shelves.get(route)
        if shelf is None:
            most = 0 if isinstance(route, Relayed) else self._options.connections_per_origin
            shelf = self._shelves[route] = _Shelf(most)
        return shelf

    async def claim(
        self, route: Route, client: str = "", *, fresh: bool = False
    ) -> Connection | None:
        """None and a slot to open a connection, or (unless ``fresh``) one that has become idle.

        Whoever gets the slot says ``adopt`` or ``abandon``. Raises NotReached (503).
        """
        shelf = self._shelf(route)
        if shelf.shares is None:
            shelf.slots += 1
            return None
        if shelf.shares.may_take(client):
            shelf.shares.take(client)
            shelf.slots += 1
            if shelf.slots > self._options.connections_per_origin:
                shelf.idle[0].abort()  # it was not wanted: not fresh, or idle for too long
            return None
        given = await self._turn(shelf, route, client)
        if given is None or not fresh:
            return given
        if given.closed:  # its slot is free, but somebody else's
            return await self.claim(route, client, fresh=True)
        given.owner = None  # its slot is ours
        del self._open[given]
        given.abort()
        return None

    async def _turn(self, shelf: _Shelf, route: Route, client: str) -> Connection | None:
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        shelf.waiting.add(client, turn)
        try:
            async with asyncio.timeout(self._options.connect_total_timeout):
                return await turn
        except BaseException as error:
            shelf.waiting.remove(client, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_on(route, client, turn.result())
            if not isinstance(error, TimeoutError):
                raise
        sentence = "All connections that one origin may have are in use."
        raise NotReached(503, "connection_limit_reached", sentence)

    def _give_on(self, route: Route, client: str, given: Connection | None) -> None:
        """Whoever waited has given up just when it was his turn."""
        if given is None:
            self.abandon(route, client)
        elif not given.closed:
            self.released(given)

    def adopt(self, connection: Connection, client: str | None = "") -> None:
        """It was opened in a slot, which ``client`` had claimed (None: it is in nobody's share)."""
        connection.owner = self
        shelf = self._open[connection] = self._shelves[connection.route]
        connection.client = client if shelf.shares is not None else None
        if connection.closed:
            self.gone(connection)
        elif self._closed:
            connection.abort()

    def abandon(self, route: Route, client: str = "") -> None:
        """Nothing could be opened in the slot that ``client`` claimed, or it is not needed."""
        shelf = self._shelves[route]
        if shelf.shares is not None:
            shelf.shares.give_back(client)
        self._vacated(route, shelf)

    def _vacated(self, route: Route, shelf: _Shelf) -> None:
        """A slot is free."""
        if shelf.serve(None):
            self._share_out(shelf)
            return
        shelf.slots -= 1
        if not shelf.slots:
            del self._shelves[route]

    def _share_out(self, shelf: _Shelf) -> None:
        """Somebody has one less, and somebody else one more: who waits may have what is left."""
        while shelf.slots < self._options.connections_per_origin or shelf.idle:
            if not shelf.idle:
                shelf.slots += 1
                if not shelf.serve(None):
                    shelf.slots -= 1
                    return
                continue
            idle = shelf.idle[-1]
            if not _lives(idle, self._now() - self._idle[idle]):
                idle.abort()
            elif shelf.serve(idle):
                shelf.idle.remove(idle)
                del self._idle[idle]
            else:
                return

    def released(self, connection: Connection) -> None:
        """It is idle now, or already the next one's."""
        shelf = self._open[connection]
        if shelf.shares is not None:
            shelf.returned(connection)
            if shelf.serve(connection):
                self._share_out(shelf)
                return
        shelf.idle.append(connection)
        self._idle[connection] = connection.since
        if len(self._idle) > self._options.idle_connections:
            next(iter(self._idle)).abort()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._options.keep_alive, self._expire)

    def gone(self, connection: Connection) -> None:
        """It is closed: its slot is free."""
        shelf = self._open.pop(connection)
        if self._idle.pop(connection, None) is not None:
            shelf.idle.remove(connection)
        shelf.returned(connection)
        self._vacated(connection.route, shelf)

    def close_idle(self) -> int:
        """Close what is idle; how many those were."""
        idle = list(self._idle)
        for connection in idle:
            connection.abort()
        return len(idle)

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        keep_alive = self._options.keep_alive
        expired = loop.time() - keep_alive
        for connection, since in list(self._idle.items()):
            if since > expired:
                self._timer = loop.call_at(since + keep_alive, self._expire)
                return
            connection.abort()

    def close(self) -> None:
        """Close every connection; who waits for one is told."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for shelf in self._shelves.values():
            for turn in shelf.waiting.clear():
                if not turn.done():
                    turn.set_exception(
                        NotReached(503, "destination_unavailable", "The proxy is shutting down.")
                    )
        for connection in list(self._open):
            connection.abort()


def _lives(connection: Connection, idle: float) -> bool:
    """Whether one that has been idle for so many seconds can take a request."""
    return idle < connection.keep_alive and connection.usable()
