"""One request whose answer is on its way from the disk: no task waits for it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from proxy.frontend.phase import Phase

if TYPE_CHECKING:
    from proxy.frontend.connection import Connection
    from proxy.frontend.door import Door
    from proxy.frontend.heard import Heard
    from proxy.semantics.messages import Request
    from proxy.store.base import Found

log = logging.getLogger("forecache")


class Awaited:
    """Stands in for a conversation until what is stored is in memory, or is not to be had."""

    __slots__ = ("_connection", "_door", "_gone", "_heard", "_request", "_started")

    def __init__(self, connection: Connection, door: Door, heard: Heard, request: Request) -> None:
        self._connection = connection
        self._door = door
        self._heard = heard
        self._request = request
        self._started = time.time()
        self._gone = False

    def begin(self, key: str) -> bool:
        """Whether there is something to wait for."""
        return self._door.hot.store.soon(key, self._came)

    def cancel(self) -> None:
        """The client is gone."""
        self._gone = True

    def _came(self, found: Found | None) -> None:
        if self._gone:
            return
        try:
            self._answer(found)
        except Exception:
            log.exception("%s failed", self._request.uri)
            self._connection.broken()

    def _answer(self, found: Found | None) -> None:
        connection, prepared = self._connection, None
        if found is not None:
            prepared = self._door.hot.prepare(None, self._request, found, time.time())
        if prepared is None or not connection.send_hot(prepared, self._started):
            connection.converse(self._heard, self._request)
        elif connection.phase is Phase.BUSY:  # else it was the last answer
            connection.answered(keep=True)
