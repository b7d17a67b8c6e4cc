"""Which way a request takes: to the origin, or through the parent proxy. Pure.

``no_proxy`` takes every syntax that programs read from the variable of that name.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.bounded import Memo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.semantics.targets import Origin


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent proxy; ``authorization`` is its Proxy-Authorization value, "" for none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Direct:
    """A connection to the origin itself."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Relayed:
    """A connection to the parent, which takes absolute-form requests for any http origin."""

    parent: Parent


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """A connection to the origin inside a CONNECT through the parent."""

    parent: Parent
    origin: Origin


Route = Direct | Relayed | Tunnelled


def parse_parent(text: str) -> Parent:
    """``http://user:password@proxy.example:3128``. Raises ValueError, without the credentials."""
    expected = "write for example http://user:password@proxy.example:3128"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"the parent is not a URL: {expected}") from None
    if parts.scheme != "http" or not host:
        raise ValueError(f"the parent is not an http URL with a host: {expected}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"the parent has more than a host and a port: {expected}")
    credentials, at, _ = parts.netloc.rpartition("@")
    return Parent(host, port or 80, _basic(credentials) if at else "")


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    # RFC 7617 §2; userinfo is percent-encoded (RFC 3986 §3.2.1), the field is not.
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class Exempt:
    """One member of ``no_proxy``: hosts (all if neither name nor network), on a port or any.

    ``below`` leaves out the name itself.
    """

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None
    below: bool = False

    def covers(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return _within(host, self.network)
        if not self.name:
            return True
        return host.endswith("." + self.name) or (host == self.name and not self.below)


def _within(host: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.version == network.version and address in network


def parse_no_proxy(entries: Iterable[str]) -> tuple[Exempt, ...]:
    """``*``, names (with all below them), ``.name``, ``*.name`` (only below), addresses, CIDR;

    each with ``:port`` or without; several in one entry by comma or space. Raises ValueError.
    """
    members = [m for entry in entries for m in entry.replace(",", " ").split()]
    return tuple(map(_parse_exempt, members))


def _parse_exempt(member: str) -> Exempt:
    network = _parse_network(member)
    if network is not None:
        return Exempt(network=network)
    host, colon, digits = member.rpartition(":")
    if not colon:
        return _parse_name(member, None)
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 2**16):
        raise ValueError(f"{member!r} in no_proxy is not a host with a port")
    network = _parse_network(host)
    if network is not None:
        return Exempt(network=network, port=int(digits))
    return _parse_name(host, int(digits))


def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _parse_name(text: str, port: int | None) -> Exempt:
    if text == "*":
        return Exempt(port=port)
    below = text.startswith("*.")
    name = text.removeprefix("*").removeprefix(".").rstrip(".").lower()
    if not name or "*" in name or "/" in name:
        raise ValueError(f"{text!r} in no_proxy is not a name, *.name, address, CIDR or *")
    return Exempt(name, port=port, below=below)


_OCTETS: Final = 3 * 2**18  # of the routes that are remembered


class Routes:
    """The routes that the options ``parent`` and ``no_proxy`` make. Raises ValueError."""

    __slots__ = ("_exempt", "_parent", "choose")

    def __init__(self, parent: str, no_proxy: Iterable[str] = ()) -> None:
        self._parent = parse_parent(parent) if parent else None
        self._exempt = parse_no_proxy(no_proxy)
        # One route object per origin: the pool finds its shelf by it on every request.
        chosen = Memo("routes", self._choose, _OCTETS, weigh=_weight)
        self.choose: Final = chosen.__getitem__

    def _choose(self, origin: Origin) -> Route:
        route = self.through(origin)
        if isinstance(route, Tunnelled) and origin.scheme == "http":
            return Relayed(route.parent)
        return route

    def through(self, origin: Origin) -> Direct | Tunnelled:
        """The way of what is no request to relay: to the origin itself."""
        parent = self.parent_for(origin)
        return Direct(origin) if parent is None else Tunnelled(parent, origin)

    def parent_for(self, origin: Origin) -> Parent | None:
        """The parent that stands between us and the origin."""
        host = origin.host.rstrip(".")
        if any(exempt.covers(host, origin.port) for exempt in self._exempt):
            return None
        return self._parent


def _weight(origin: Origin, _: Route) -> int:
    return 300 + 3 * len(origin.host)
