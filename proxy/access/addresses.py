"""Which addresses are reachable by default: global unicast only, in every disguise.

The table follows the IANA special-purpose registries (RFC 6890) and is our own: the properties of
``ipaddress`` differ between patch releases of Python, and call multicast, 6to4 and NAT64 global.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from proxy.bounded import Memo

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Special(StrEnum):
    """Why an address is not global unicast."""

    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "shared (carrier-grade NAT)"
    LINK_LOCAL = "link-local"
    METADATA = "cloud metadata"
    MULTICAST = "multicast"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"


_TABLE: Final = {
    Special.METADATA: (
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
    ),
    Special.LOOPBACK: ("127.0.0.0/8", "::1"),
    Special.PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    Special.SHARED: ("100.64.0.0/10",),
    Special.LINK_LOCAL: ("169.254.0.0/16", "fe80::/10"),
    Special.MULTICAST: ("224.0.0.0/4", "ff00::/8"),
    Special.UNSPECIFIED: ("0.0.0.0/8", "::"),
    Special.RESERVED: (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        # Protocol assignments, Teredo among them; documentation.
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    ),
}
# In the order of the table: a metadata address is that before it is link-local or private.
_SPECIAL: Final = tuple(
    (ip_network(text), kind) for kind, texts in _TABLE.items() for text in texts
)
# RFC 4291 §2.4: what IANA allocates for global unicast; all else of IPv6 is special or reserved.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
# What else has an IPv4 address in its last 32 bits: IPv4-compatible (RFC 4291 §2.5.5.1), and NAT64
# of a network's own (RFC 8215). These are reserved in themselves.
_COMPATIBLE: Final = IPv6Network("::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_CARRIERS: Final = (_MAPPED, _NAT64, _COMPATIBLE, _LOCAL_NAT64)
_UNCARRYING: Final = frozenset({IPv6Address("::"), IPv6Address("::1")})


@dataclass(frozen=True, slots=True)
class Barred:
    """An address that is not reachable by default: itself, or one that it carries."""

    address: Address
    kind: Special


def parse_address(text: str) -> Address:
    """An address without its zone (``fe80::1%eth0``). Raises ValueError."""
    return ip_address(text.partition("%")[0])


def unmapped(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped one (RFC 4291 §2.5.5.2), as dual-stack sockets give it."""
    if isinstance(address, IPv6Address) and (inner := address.ipv4_mapped):
        return inner
    return address


def layers(address: Address) -> tuple[Address, ...]:
    """The address, and every IPv4 address that it carries: packets to it go there too."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address not in _UNCARRYING and any(address in network for network in _CARRIERS):
        return (address, IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour:
        return (address, address.sixtofour)
    if address.teredo:
        return (address, *address.teredo)
    return (address,)


def special(address: Address) -> Special | None:
    """The kind of this very address; None for global unicast and for mere carriers of IPv4."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    if isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST:
        return None
    return None if address in _MAPPED or address in _NAT64 else Special.RESERVED


def _is_local(text: str) -> bool:
    return special(unmapped(parse_address(text))) is Special.LOOPBACK


_local: Final = Memo("local addresses", _is_local, 2**17)


def is_local(text: str) -> bool:
    """Whether the address in this text is that of this machine for itself."""
    return _local[text]


def _barred(address: Address) -> tuple[Barred, ...]:
    return tuple(Barred(layer, kind) for layer in layers(address) if (kind := special(layer)))


_judged: Final = Memo("barred addresses", _barred, 2**19, each=400)


def barred(address: Address) -> tuple[Barred, ...]:
    """Each layer that is not reachable by default, outermost first; empty: reachable."""
    return _judged[address]
