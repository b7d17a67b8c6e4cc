"""Who may use the proxy, and where it may connect: asked, not done, and with the reason in words.

A destination is judged twice. Every request is judged by what it says (port, name, and address if
the host is one) before anything stored is looked at; every connection by the address connected to,
after resolution, so that no name can smuggle one in. In this order: ``deny_destinations`` is final;
``allow_destinations`` lifts the built-in denials; what is left must be global unicast. Metadata
addresses need an entry of their own, whatever name leads there.
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
    layers,
    parse_address,
    unmapped,
)
from proxy.bounded import Memo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proxy.semantics.targets import Origin

_WORDS: Final = {"private": Special.PRIVATE, "loopback": Special.LOOPBACK}
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_ANY: Final = (1, 2**16 - 1)
_OCTETS: Final = 2**19  # of judged places that are remembered
_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """The section ``[access]``."""

    clients: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    purge_clients: tuple[str, ...] = ()
    http_ports: tuple[int | str, ...] = (80, "1024-65535")
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


def _lifts(entry: Destination, host: str, bar: Barred) -> bool:
    """Whether an entry of ``allow_destinations`` lifts this built-in denial for this host.

    That of a metadata address: only the address itself. Who answers for a name may change.
    """
    if isinstance(entry, Special):
        return bar.kind is entry
    widely = bar.kind is not Special.METADATA
    if isinstance(entry, Name):
        return widely and entry.matches(host)
    return _contains(entry, bar.address) and (widely or entry.num_addresses == 1)


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

    __slots__ = (
        "_allow",
        "_clients",
        "_connect_ports",
        "_deny",
        "_http_ports",
        "_listening",
        "_options",
        "_places",
        "_purgers",
        "request",
    )  # fmt: skip

    def __init__(self, options: AccessOptions, listening: Collection[tuple[str, int]] = ()) -> None:
        self._options = options
        self._clients = tuple(parse_network(entry) for entry in options.clients)
        self._purgers = tuple(parse_network(entry) for entry in options.purge_clients)
        self._http_ports = tuple(parse_ports(entry) for entry in options.http_ports)
        self._connect_ports = tuple(parse_ports(entry) for entry in options.connect_ports)
        self._allow = tuple(parse_destination(entry) for entry in options.allow_destinations)
        self._deny = tuple((e, parse_destination(e)) for e in options.deny_destinations)
        self._listening = frozenset((parse_address(host), port) for host, port in listening)
        # Every head that is read asks one of them.
        self._places = Memo("judged places", self._place, _OCTETS, longest=300, per_octet=6)
        requests = Memo("judged origins", self._request, _OCTETS, weigh=_weight)
        self.request: Final = requests.__getitem__

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

    @property
    def purges(self) -> bool:
        """Whether PURGE is answered here, by anybody."""
        return bool(self._purgers)

    def _request(self, origin: Origin) -> Verdict:
        """May a request that names this origin be answered, from what is stored or elsewhere?

        What may be reached by CONNECT may be asked for with https, too.
        """
        host, port = origin.host, origin.port
        if _is_among(port, self._http_ports) or (
            origin.scheme == "https" and _is_among(port, self._connect_ports)
        ):
            return self.place(host, port)
        return _port("http_ports", f"Port {port}", self._options.http_ports, port)

    def connect(self, host: str, port: int) -> Verdict:
        """May CONNECT go there?"""
        if _is_among(port, self._connect_ports):
            return self.place(host, port)
        subject = f"CONNECT to port {port}"
        return _port("connect_ports", subject, self._options.connect_ports, port)

    def place(self, host: str, port: int) -> Verdict:
        """What can be said without resolving: by name, or by the address that the host is."""
        return self._places[host, port]

    def _place(self, named: tuple[str, int]) -> Verdict:
        host, port = named
        try:
            parse_address(host)
        except ValueError:
            return self.destination(host, port, None)
        return self.destination(host, port, host)

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
        bars = [
            bar
            for bar in barred(target)
            if not any(_lifts(entry, name, bar) for entry in self._allow)
        ]
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


def _is_among(port: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= port <= last for first, last in ranges)


def _port(option: str, subject: str, listed: Iterable[int | str], port: int) -> Denied:
    line = ", ".join(f'"{e}"' if isinstance(e, str) else str(e) for e in (*listed, port))
    sentence = f"{subject} is not among [access] {option}; {option} = [{line}] would allow it."
    return Denied(option, sentence)


def _built_in(host: str, address: Address, bars: list[Barred]) -> Denied:
    entries = [str(bar.address) for bar in bars]
    try:
        parse_address(host)
    except ValueError:
        # Its name will do, but for what needs an entry of its own.
        metadata = [str(bar.address) for bar in bars if bar.kind is Special.METADATA]
        entries = metadata if len(metadata) == len(bars) else [host, *metadata]
    line = ", ".join(f'"{entry}"' for entry in entries)
    return Denied(
        f"built-in: {bars[0].kind}",
        f"{_subject(host, address)} is denied by the built-in rule for {bars[0].kind} addresses"
        f" ({bars[0].address} is one); [access] allow_destinations = [{line}] would allow it.",
    )


def _weight(origin: Origin, _: Verdict) -> int:
    """Both speak of the host."""
    return 400 + 8 * len(origin.host)
