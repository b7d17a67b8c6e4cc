"""Connections that belong to one client connection, because it has logged in there.

RFC 4559 §6: NTLM and Negotiate authenticate a connection. From the first such request on it serves
no other client, and it is closed when the client's connection is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.semantics.targets import Origin
    from proxy.upstream.connection import Connection
    from proxy.upstream.routes import Route

MOST: Final = 16  # origins that one client connection can be logged in at


class Bound:
    """The ``Owner`` of the connection to one origin. At most one is idle, as its client is one."""

    __slots__ = ("_closed", "_idle", "used")

    def __init__(self) -> None:
        self.used = False  # there has been a connection
        self._idle: Connection | None = None
        self._closed = False

    def take(self, route: Route) -> Connection | None:
        """The idle connection, if it is still there, and goes that way."""
        connection, self._idle = self._idle, None
        if connection is None or (connection.route == route and connection.usable()):
            return connection
        connection.abort()  # there is one at a time
        return None

    def adopt(self, connection: Connection) -> None:
        """It is nobody else's from now on; who had it may open another in its place."""
        self.used = True
        connection.shared = False
        if connection.owner is not self and not connection.closed:
            if connection.owner is not None:
                connection.owner.gone(connection)
            connection.owner = self

    def released(self, connection: Connection) -> None:
        """It waits for the client's next request."""
        if self._closed or self._idle is not None:
            connection.abort()
        else:
            self._idle = connection

    def gone(self, connection: Connection) -> None:
        """It is closed."""
        if self._idle is connection:
            self._idle = None

    def close(self) -> None:
        """The client is gone. What is in use is closed by whoever uses it, or after that."""
        self._closed = True
        if self._idle is not None:
            self._idle.abort()


class Logins:
    """Where one client connection has logged in."""

    __slots__ = ("_bound",)

    def __init__(self) -> None:
        self._bound: dict[Origin, Bound] = {}

    def at(self, origin: Origin) -> Bound | None:
        """What belongs to it there; None: it is like everybody else."""
        return self._bound.get(origin)

    def begin(self, origin: Origin) -> None:
        """It logs in there. Of too many the first is logged out."""
        if origin not in self._bound:
            if len(self._bound) >= MOST:
                self._bound.pop(next(iter(self._bound))).close()
            self._bound[origin] = Bound()

    def close(self) -> None:
        """It is gone."""
        for bound in self._bound.values():
            bound.close()
        self._bound.clear()
