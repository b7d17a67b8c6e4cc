"""The section ``[upstream]``."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.semantics.units import Octets, Seconds


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """How origins are reached, and how long each step may take.

    ``connect_timeout`` is for each address (and each of DNS and TLS), ``connect_total_timeout``
    for all of it; ``read_timeout`` for the first octet and between octets. ``parent`` is
    ``http://user:password@host:port`` or empty. ``connections_per_origin``: 0 for any number.
    """

    connect_timeout: Seconds = Seconds(10)
    connect_total_timeout: Seconds = Seconds(20)
    read_timeout: Seconds = Seconds(900)
    connections_per_origin: int = 0
    keep_alive: Seconds = Seconds(60)
    idle_connections: int = 256
    retries: int = 1
    dns_ttl: Seconds = Seconds(60)
    parent: str = ""
    no_proxy: tuple[str, ...] = ()
    interim_responses: int = 16
    response_head: Octets = Octets(64 * 2**10)
