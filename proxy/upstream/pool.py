"""Connections between exchanges: which to reuse, when to open another, who waits, who goes.

A *slot* is the right to one connection on a route; there are ``connections_per_origin``, or any
number: also to a parent, which is no origin. Idle connections are taken last in, first out, so that
the surplus grows old and expires.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from proxy.upstream.base import NotReached
from proxy.upstream.routes import Relayed

if TYPE_CHECKING:
    from proxy.upstream.connection import Connection
    from proxy.upstream.options import UpstreamOptions
    from proxy.upstream.routes import Route


class _Shelf:
    """One route: idle connections, slots taken, and who waits for one or the other."""

    __slots__ = ("idle", "slots", "waiting")

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.slots = 0
        # Each is given a connection that another has finished with, or None: a slot to open one.
        self.waiting: deque[asyncio.Future[Connection | None]] = deque()


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

    def take(self, route: Route, rested: float = inf) -> Connection | None:
        """An idle connection if there is one; ``rested``: seconds of idleness at most."""
        shelf = self._shelves.get(route)
        if shelf is None:
            return None
        now = self._now()
        while shelf.idle:
            connection = shelf.idle.pop()
            idle = now - self._idle.pop(connection)
            if idle < rested and _lives(connection, idle):
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
        shelf = self._shelves.setdefault(connection.route, _Shelf())
        most = self._options.connections_per_origin
        if most and shelf.slots >= most:
            connection.abort()
            return
        shelf.slots += 1
        self.adopt(connection)
        if not connection.closed:
            self.released(connection)

    async def claim(self, route: Route, *, fresh: bool = False) -> Connection | None:
        """None and a slot to open a connection, or (unless ``fresh``) one that has become idle.

        Whoever gets the slot says ``adopt`` or ``abandon``. Raises NotReached (503).
        """
        shelf = self._shelves.get(route)
        if shelf is None:
            shelf = self._shelves[route] = _Shelf()
        most = self._options.connections_per_origin
        if shelf.slots < most or not most or isinstance(route, Relayed):
            shelf.slots += 1
            return None
        given = await self._turn(route, shelf)
        if given is None or not fresh:
            return given
        if given.closed:
            return await self.claim(route, fresh=True)  # its slot is free, but somebody else's
        given.owner = None  # its slot is ours
        del self._open[given]
        given.abort()
        return None

    async def _turn(self, route: Route, shelf: _Shelf) -> Connection | None:
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        shelf.waiting.append(turn)
        try:
            async with asyncio.timeout(self._options.connect_total_timeout):
                return await turn
        except TimeoutError:
            self._leave(route, shelf, turn)
            sentence = "All connections that one origin may have are in use."
            raise NotReached(503, "connection_limit_reached", sentence) from None
        except asyncio.CancelledError:
            self._leave(route, shelf, turn)
            raise

    def _leave(self, route: Route, shelf: _Shelf, turn: asyncio.Future[Connection | None]) -> None:
        """Whoever waited has given up, perhaps just when it was his turn."""
        if turn.cancelled() or not turn.done():
            shelf.waiting.remove(turn)
        elif (given := turn.result()) is None:
            self.abandon(route)
        elif not given.closed:
            self.released(given)

    def adopt(self, connection: Connection) -> None:
        """It was opened in a slot."""
        connection.owner = self
        self._open[connection] = self._shelves[connection.route]
        if connection.closed:
            self.gone(connection)
        elif self._closed:
            connection.abort()

    def abandon(self, route: Route) -> None:
        """Nothing could be opened in a slot, or it is no longer needed."""
        shelf = self._shelves[route]
        while shelf.waiting:
            turn = shelf.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        shelf.slots -= 1
        if not shelf.slots:
            del self._shelves[route]

    def released(self, connection: Connection) -> None:
        """It is idle now, or already the next one's."""
        shelf = self._open[connection]
        while shelf.waiting:
            turn = shelf.waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
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
        self.abandon(connection.route)

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
            for turn in shelf.waiting:
                if not turn.done():
                    turn.set_exception(
                        NotReached(503, "destination_unavailable", "The proxy is shutting down.")
                    )
            shelf.waiting.clear()
        for connection in list(self._open):
            connection.abort()


def _lives(connection: Connection, idle: float) -> bool:
    """Whether one that has been idle for so many seconds can take a request."""
    return idle < connection.keep_alive and connection.usable()
