"""Who may use the proxy, and where it may connect: asked, not done, and with the reason in words.

A destination is judged by the address connected to, after resolution, so that no name can smuggle
one in. In this order: ``deny_destinations`` is final; ``allow_destinations`` lifts the built-in
denials; what is left must be global unicast. Metadata addresses need an entry of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from proxy.access.addresses import (
    Address,
    Barred,
    Network,
    Special,
    barred,
    is_metadata,
    layers,
    parse_address,
    unmapped,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_WORDS: Final = {"private": Special.PRIVATE, "loopback": Special.LOOPBACK}
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_ANY: Final = (1, 2**16 - 1)
_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """The section ``[access]``."""

    clients: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    purge_clients: tuple[str, ...] = ()
    connect_ports: tuple[int | str, ...] = (443, 80)
    allow_destinations: tuple[str, ...] = ()
    deny_destinations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Denied:
    """``rule`` names what refused; ``sentence`` says so, and which line would allow it."""

    rule: str
    sentence: str


Verdict = Allowed | Denied
ALLOWED: Final = Allowed()


@dataclass(frozen=True, slots=True)
class Name:
    """A host name; with ``subdomains`` every name below it, but not itself."""

    name: str
    subdomains: bool

    def matches(self, host: str) -> bool:
        return host.endswith("." + self.name) if self.subdomains else host == self.name


Destination = Special | Name | Network


def parse_network(entry: str) -> Network:
    """An address or CIDR. Raises ValueError with what was expected."""
    try:
        return ip_network(entry)
    except ValueError:
        pass
    try:
        meant = ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(
            f"{entry!r} is not an address or network: write for example 10.0.0.0/8 or fd00::/8"
        ) from None
    raise ValueError(f"{entry!r} has bits set after the prefix: {str(meant)!r} is the network")


def parse_destination(entry: str) -> Destination:
    """``private``, ``loopback``, a name, ``*.suffix``, an address or CIDR. Raises ValueError."""
    if word := _WORDS.get(entry):
        return word
    if ":" in entry or "/" in entry or entry.replace(".", "").isdigit():
        return parse_network(entry)
    name = entry.lower().rstrip(".")
    if not (match := _NAME.fullmatch(name)):
        raise ValueError(
            f"{entry!r} is not a destination: write private, loopback, a host name,"
            " *.suffix, an address or a network such as 10.0.0.0/8"
        )
    return Name(name.removeprefix("*."), subdomains=match[1] is not None)


def parse_ports(entry: int | str) -> tuple[int, int]:
    """A port, ``8000-8999`` or ``any``, as the first and the last. Raises ValueError."""
    if entry == "any":
        return _ANY
    if match := _PORTS.fullmatch(str(entry)):
        first, last = int(match[1]), int(match[2] or match[1])
        if _ANY[0] <= first <= last <= _ANY[1]:
            return first, last
    raise ValueError(
        f"{entry} is not a port: write numbers from 1 to 65535,"
        ' ranges such as "8000-8999", or "any"'
    )


def _contains(network: Network, address: Address) -> bool:
    return address.version == network.version and address in network


def _lifts(entry: Destination, bar: Barred) -> bool:
    """Whether an entry of ``allow_destinations`` lifts this built-in denial."""
    if isinstance(entry, Special):
        return bar.kind is entry
    if isinstance(entry, Name) or not _contains(entry, bar.address):
        return False
    return entry.num_addresses == 1 or not is_metadata(bar.address)


def _covers(entry: Destination, host: str, carried: Iterable[Address]) -> bool:
    """Whether an entry of ``deny_destinations`` means this host or what it resolved to."""
    if isinstance(entry, Name):
        return entry.matches(host)
    if isinstance(entry, Special):
        return any(bar.kind is entry for address in carried for bar in barred(address))
    return any(_contains(entry, address) for address in carried)


def _subject(host: str, address: Address | None = None) -> str:
    return host if address is None or host == str(address) else f"{host} ({address})"


class Rules:
    """The section ``[access]``, ready to be asked.

    ``listening`` are the proxy's own listeners (address, port): nobody is let through to them.
    """

    __slots__ = ("_allow", "_clients", "_deny", "_listening", "_options", "_ports", "_purgers")

    def __init__(self, options: AccessOptions, listening: Collection[tuple[str, int]] = ()) -> None:
        self._options = options
        self._clients = tuple(parse_network(entry) for entry in options.clients)
        self._purgers = tuple(parse_network(entry) for entry in options.purge_clients)
        self._ports = tuple(parse_ports(entry) for entry in options.connect_ports)
        self._allow = tuple(parse_destination(entry) for entry in options.allow_destinations)
        self._deny = tuple((e, parse_destination(e)) for e in options.deny_destinations)
        self._listening = frozenset((parse_address(host), port) for host, port in listening)

    def client(self, address: str) -> Verdict:
        """May the client at this address use the proxy? Asked once per connection."""
        client = unmapped(parse_address(address))
        if any(_contains(network, client) for network in self._clients):
            return ALLOWED
        return Denied(
            "clients",
            f"The address {client} is not among [access] clients;"
            f' clients = ["{client}"] would allow it.',
        )

    def purge(self, address: str) -> Verdict | None:
        """May it PURGE here? None where nobody may: there it is a method like any other."""
        if not self._purgers:
            return None
        client = unmapped(parse_address(address))
        if any(_contains(network, client) for network in self._purgers):
            return ALLOWED
        return Denied(
            "purge_clients",
            f"The address {client} is not among [access] purge_clients;"
            f' purge_clients = ["{client}"] would allow it.',
        )

    def connect_port(self, port: int) -> Verdict:
        """May CONNECT go to this port?"""
        if any(first <= port <= last for first, last in self._ports):
            return ALLOWED
        entries = (*self._options.connect_ports, port)
        line = ", ".join(f'"{e}"' if isinstance(e, str) else str(e) for e in entries)
        return Denied(
            "connect_ports",
            f"CONNECT to port {port} is not among [access] connect_ports;"
            f" connect_ports = [{line}] would allow it.",
        )

    def destination(self, host: str, port: int, address: str | None) -> Verdict:
        """May we connect to ``address``, which ``host`` resolved to? Both without brackets.

        None: to whatever it resolves to, as far as its name alone says.
        """
        name = host.lower().rstrip(".")
        if address is None:
            return self._denied(name, ()) or ALLOWED
        target = parse_address(address)
        carried = layers(target)
        if denied := self._denied(name, carried):
            return denied
        if self._is_own(carried, port):
            return Denied(
                "own-listener",
                f"{_subject(name, target)} port {port} is this proxy itself;"
                " no setting allows that.",
            )
        if any(isinstance(entry, Name) and entry.matches(name) for entry in self._allow):
            return ALLOWED
        bars = [b for b in barred(target) if not any(_lifts(entry, b) for entry in self._allow)]
        return _built_in(name, target, bars) if bars else ALLOWED

    def _denied(self, host: str, carried: tuple[Address, ...]) -> Denied | None:
        for entry, destination in self._deny:
            if _covers(destination, host, carried):
                return Denied(
                    "deny_destinations",
                    f"{_subject(host, *carried[:1])} is denied by the entry {entry!r} of"
                    " [access] deny_destinations; only without that entry is it allowed.",
                )
        return None

    def _is_own(self, carried: tuple[Address, ...], port: int) -> bool:
        return any(
            layer == address or (address.is_unspecified and _is_local(layer))
            for address, listening in self._listening
            if port == listening
            for layer in carried
        )


def _is_local(address: Address) -> bool:
    """Loopback, or unspecified: what a listener on every address certainly answers."""
    return address.is_loopback or address.is_unspecified


def _built_in(host: str, address: Address, bars: list[Barred]) -> Denied:
    try:
        parse_address(host)
    except ValueError:
        entries = [host]
    else:
        entries = [str(bar.address) for bar in bars]
    line = ", ".join(f'"{entry}"' for entry in entries)
    return Denied(
        f"built-in: {bars[0].kind}",
        f"{_subject(host, address)} is denied by the built-in rule for {bars[0].kind} addresses"
        f" ({bars[0].address} is one); [access] allow_destinations = [{line}] would allow it.",
    )
