"""The sections ``[server]`` and ``[server.limits]``, and how a listener is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from proxy.semantics.units import Octets, Seconds


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """Bounds on what one client may ask of us. ``buffer`` is per exchange and direction.

    ``body_timeout`` is for a pause in a request body, ``write_timeout`` in reading an answer.
    ``requests_per_second``: those of ten seconds may come at once; 0 for any number.
    """

    request_head: Octets = Octets(64 * 2**10)
    request_line: Octets = Octets(16 * 2**10)
    fields: int = 128
    header_timeout: Seconds = Seconds(30)
    idle_timeout: Seconds = Seconds(60)
    body_timeout: Seconds = Seconds(900)
    write_timeout: Seconds = Seconds(900)
    tunnel_idle_timeout: Seconds = Seconds(600)
    buffer: Octets = Octets(256 * 2**10)
    requests_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen and how much to take on.

    ``workers``: processes that serve; "auto": one for each core that may be used.
    ``connect_other``: what becomes of bytes inside CONNECT that are neither TLS nor HTTP.
    """

    listen: tuple[str, ...] = ("127.0.0.1:3128",)
    workers: int | Literal["auto"] = 1
    max_connections: int = 10000
    max_connections_per_client: int = 1024
    shutdown_timeout: Seconds = Seconds(30)
    connect_other: Literal["tunnel", "refuse"] = "tunnel"
    x_cache: bool = False
    exchange_ids: bool = False
    limits: LimitOptions = field(default_factory=LimitOptions)


@dataclass(frozen=True, slots=True)
class Listener:
    """An address (without brackets) and port to listen on; port 0: any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.host).is_loopback

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of its family."""
        return ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listener(text: str) -> Listener:
    """``127.0.0.1:3128``, ``[::1]:3128``, ``localhost:3128``. Raises ValueError: what was meant."""
    host, colon, port = text.rpartition(":")
    if text.isdigit() and int(text) < 2**16:
        raise ValueError(f"{text!r} lacks the address: 127.0.0.1:{text} for this machine only")
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is not a listener: write 127.0.0.1:3128 or [::1]:3128")
    if host in ("", "*"):
        raise ValueError(f"{text!r} lacks the address: 0.0.0.0:{port} for every IPv4 address")
    if not (port.isascii() and port.isdigit()) or int(port) >= 2**16:
        raise ValueError(f"{port!r} is not a port: write a number from 0 to 65535")
    bare = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        raise ValueError(
            f"{host!r} is not an address of this machine: write an IP address"
        ) from None
    return Listener(str(address), int(port))
