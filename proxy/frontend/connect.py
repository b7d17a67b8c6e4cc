"""CONNECT: reach the authority, grant it, and see what the client says inside (RFC 9110 §9.3.6).

What was dialled becomes the tunnel, or, where plain HTTP comes inside, a connection of the pool:
the first request that is no hit is sent on it.
"""

from __future__ import annotations

import asyncio
import re
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.exchange import errors
from proxy.exchange.tasks import spawn
from proxy.frontend import tunnel
from proxy.frontend.phase import Phase
from proxy.frontend.reception import Own, refused
from proxy.semantics.targets import Origin
from proxy.store.base import StoreFailed
from proxy.upstream.base import NotTunnelled, Prohibited, UpstreamError

if TYPE_CHECKING:
    from proxy.frontend.connection import Connection
    from proxy.frontend.door import Door
    from proxy.frontend.reception import Connect
    from proxy.semantics.messages import RequestHead
    from proxy.upstream.base import Dialled

GRANTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
TELLING: Final = 0.25  # seconds in which the first octets have to tell what they are
LOOKING: Final = 1.0  # seconds to find out whether anything is stored
PLAIN: Final = 80  # the port where plain HTTP is expected, which a parent relays without a tunnel
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}")
_TARGETS: Final = (b" /", b" *", b" http://", b" https://")  # what follows the method
_HTTP2: Final = b"PRI "  # RFC 9113 §3.4: a method that no request has


class Inside(StrEnum):
    """What the first octets after CONNECT turned out to be."""

    TLS = "tls"
    HTTP = "http"
    OTHER = "other"
    UNKNOWN = "unknown"  # too few to tell


def inside(first: bytes) -> Inside:
    """Tell a TLS ClientHello (RFC 8446 §5.1: record type 22) and an HTTP request from the rest."""
    if first[:1] == b"\x16":
        return Inside.TLS
    method = _METHOD.match(first)
    if method is None or first.startswith(_HTTP2):
        return Inside.OTHER
    target = first[method.end() : method.end() + 9].lower()
    if target.startswith(_TARGETS):
        return Inside.HTTP
    if any(start.startswith(target) for start in _TARGETS):
        return Inside.UNKNOWN
    return Inside.OTHER


class ConnectTask:
    """Lives from a CONNECT to its refusal, or until it is known what is inside."""

    __slots__ = (
        "_connection", "_dialled", "_door", "_head", "_keep", "_origin", "_started", "_task",
        "_timer", "_via",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, door: Door, head: RequestHead, wanted: Connect, *, keep: bool
    ) -> None:
        self._connection = connection
        self._door = door
        self._head = head
        self._keep = keep
        self._origin = Origin("http", wanted.host, wanted.port)
        self._started = time.time()
        self._via = ""
        self._dialled: Dialled | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Grant it if there is an idle connection to the origin; else dial first.

        In a task in either case: what comes inside may be another CONNECT, and so on.
        """
        self._task = spawn(self._reach(), "connect")

    def cancel(self) -> None:
        """The client is gone."""
        if self._task is not None:
            self._task.cancel()
        self._leave()

    async def _reach(self) -> None:
        try:
            onward = self._door.exchange.connecting(self._head)
            if isinstance(onward, str):
                self._via = onward
                refusal = await self._dial()
            else:
                refusal = Own(onward.answer, onward.reason)
            if refusal is None:
                self._grant()
            else:
                self._connection.write_own(refusal, self._head, keep=self._keep)
                self._connection.answered(self._keep)
        except BaseException:
            self._connection.broken()
            raise

    async def _dial(self) -> Own | None:
        """Why it is refused; None: it is not."""
        if self._door.fetcher.has_idle(self._origin):
            return None
        try:
            self._dialled = await self._door.fetcher.dial(
                self._origin, self._via, self._connection.counted_as
            )
        except UpstreamError as error:
            if not await self._may_do_without(error):
                return Own(errors.from_upstream(error), errors.reason_of(error))
        return None

    async def _may_do_without(self, error: UpstreamError) -> bool:
        """Whether plain HTTP inside can be answered although nothing was reached."""
        if isinstance(error, NotTunnelled) and self._origin.port == PLAIN:
            return True
        if isinstance(error, Prohibited):
            return False
        try:
            async with asyncio.timeout(LOOKING):
                return await self._door.stored(f"{self._origin}/")
        except (StoreFailed, TimeoutError):
            return False

    def _grant(self) -> None:
        self._connection.sender.write(GRANTED)
        if self._dialled is not None:
            self._dialled.listen(self._heard)
        if self._connection.phase is Phase.BUSY:  # the origin has not spoken
            self._connection.sniff()

    def _heard(self) -> None:
        """The origin speaks first, as neither TLS nor HTTP does, or has left without a word."""
        if self._dialled is None or not self._dialled.early:
            self._leave()
            if self._connection.silent:
                self._connection.close()  # who waits for a greeting learns that there is none
        elif self._door.options.connect_other == "refuse":
            self._leave()
            self._connection.broken()
        else:
            self._tunnel()

    def sniffed(self, first: bytes) -> None:
        """The client's first octets."""
        what, tunnels = inside(first), self._door.options.connect_other == "tunnel"
        if what is Inside.HTTP:
            if self._dialled is not None:
                self._dialled.keep()
                self._dialled = None
            self._leave()
            self._connection.speak_http(self._origin)
        elif what is Inside.UNKNOWN and not self._connection.half_closed:
            if tunnels and self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(TELLING, self._tunnel)
        elif what is Inside.TLS or tunnels:
            self._tunnel()
        else:
            self._leave()
            sentence = "Inside this CONNECT is neither TLS nor HTTP."
            self._connection.refuse(refused(400, sentence), self._head)

    def _tunnel(self) -> None:
        dialled, self._dialled = self._dialled, None
        self._leave()
        if dialled is None:
            self._connection.hold()
            self._task = spawn(self._dial_again(), "connect")
        else:
            self._join(dialled)

    async def _dial_again(self) -> None:
        """There was an idle connection, or the one that was dialled has been closed."""
        try:
            client = self._connection.counted_as
            self._join(await self._door.fetcher.dial(self._origin, self._via, client))
        except UpstreamError:
            self._connection.broken()
        except BaseException:
            self._connection.broken()
            raise

    def _join(self, dialled: Dialled) -> None:
        transport, early = dialled.detach()
        tunnel.join(self._connection, self._door, self._head, transport, early, self._started)

    def _leave(self) -> None:
        """Nothing more is waited for; what was dialled is not needed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._dialled is not None:
            self._dialled.close()
            self._dialled = None
