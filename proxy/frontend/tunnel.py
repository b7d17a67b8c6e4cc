"""Tunnels: octets both ways after CONNECT or 101, with half-close, backpressure, an idle end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from proxy.frontend.connection import Connection
    from proxy.frontend.door import Door
    from proxy.semantics.messages import RequestHead

Finished = Callable[[int, int], None]


class TunnelEnd(asyncio.Protocol):
    """One side of a tunnel; what it receives goes to ``other``."""

    __slots__ = ("finished", "lost", "other", "received", "transport", "tunnel")

    def __init__(self, transport: asyncio.Transport, tunnel: Tunnel) -> None:
        self.transport = transport
        self.tunnel = tunnel
        self.received = 0
        self.finished = False  # nothing more will come from this side
        self.lost = False  # and nothing can be sent to it
        self.other: TunnelEnd

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.tunnel.active = True
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.finished = True
        if self.other.finished or not self.other.transport.can_write_eof():
            self.tunnel.close()
        else:
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not (self.other.finished or self.other.transport.is_closing()):
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.finished = self.lost = True
        self.tunnel.left()

    @property
    def full(self) -> bool:
        """Whether this side has yet to take so much that the other one has to wait."""
        _, high = self.transport.get_write_buffer_limits()
        return self.transport.get_write_buffer_size() > high


class Tunnel:
    """Two transports joined. ``since``: when octets were last seen, as far as the sweep knows."""

    __slots__ = ("_finished", "active", "client", "origin", "since")

    def __init__(
        self,
        client: asyncio.Transport,
        origin: asyncio.Transport,
        finished: Finished,
        now: float,
    ) -> None:
        self._finished: Finished | None = finished
        self.active = False
        self.since = now
        self.client = TunnelEnd(client, self)
        self.origin = TunnelEnd(origin, self)
        self.client.other, self.origin.other = self.origin, self.client

    def begin(self, from_client: bytes, from_origin: bytes, *, half_closed: bool = False) -> None:
        """Pass on what has arrived already, then everything.

        ``half_closed``: the client has closed its side before.
        """
        ends = ((self.client, from_client), (self.origin, from_origin))
        # Both first: each has to hear when the other's octets are too many for it.
        for end, _ in ends:
            end.transport.set_protocol(end)
            if not end.transport.is_closing():
                # What waits is one piece: many small ones would take far more than their octets.
                end.transport.set_write_buffer_limits(0)
        for end, early in ends:
            if early and not end.other.transport.is_closing():
                end.data_received(early)
        if half_closed:
            self.client.eof_received()
        for end, _ in ends:
            if end.transport.is_closing():
                end.connection_lost(None)  # its old protocol may have been told
            elif not end.finished and not end.other.full:
                end.transport.resume_reading()

    def sweep(self, now: float, idle_timeout: float) -> None:
        """End it when it has been silent, or slow to close, for ``idle_timeout`` seconds."""
        if self.active:
            self.active, self.since = False, now
        elif now - self.since > idle_timeout:
            self.abort()

    def close(self) -> None:
        """End both sides; what is still to be written is written."""
        self.client.transport.close()
        self.origin.transport.close()

    def abort(self) -> None:
        """End both sides now."""
        self.client.transport.abort()
        self.origin.transport.abort()

    def left(self) -> None:
        """One side is lost: so will be the other, and then the tunnel has ended."""
        self.close()
        if self.client.lost and self.origin.lost and self._finished is not None:
            finished, self._finished = self._finished, None
            finished(self.client.received, self.origin.received)


def join(
    connection: Connection,
    door: Door,
    head: RequestHead,
    origin: asyncio.Transport,
    early: bytes,
    started: float,
) -> None:
    """From here on it is octets both ways between a client's connection and ``origin``.

    ``early`` are octets that the origin has sent already. ``head`` asked for it when it ``started``
    (epoch seconds), which is recorded when the tunnel ends.
    """

    def finished(_: int, down: int) -> None:
        door.tunnels.discard(joined)
        door.leave(connection.counted_as)
        status = 200 if head.method == "CONNECT" else 101
        what = What(head.method, head.target, head.minor, status, down, Reason.TUNNEL)
        door.observe(ExchangeRecord(started, time.time() - started, connection.client, what))

    joined = Tunnel(connection.transport, origin, finished, time.time())
    door.tunnels.add(joined)
    joined.begin(connection.hand_over(), early, half_closed=connection.half_closed)
