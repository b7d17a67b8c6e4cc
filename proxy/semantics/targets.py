"""The four request-target forms (RFC 9112 §3.2), target URI and origin (RFC 9110 §4).

The authority decides route and key, so each host has exactly one spelling here: lower case, no
dot at the end, canonical IPv4, compressed IPv6. What has several readings is refused, not
guessed. Path and query stay byte for byte as received.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final

from msgspec import Struct

from proxy.bounded import Memo

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# RFC 6455 §3: a ws URI is asked for as http, a wss URI as https.
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_ASCII: Final = re.ASCII | re.IGNORECASE
# Visible ASCII less "#", and obs-text, which some clients send unencoded.
_PATH: Final = r"[!\"$-~\x80-\xff]*+"
_ABSOLUTE: Final = re.compile(rf"(https?|wss?)://([0-9a-z._\-:\[\]]++)((?:[/?]{_PATH})?)", _ASCII)
_ORIGIN_FORM: Final = re.compile(rf"/{_PATH}")
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]++\]|[0-9a-z._\-]++)(?::([0-9]*+))?", _ASCII)
_NAME: Final = re.compile(r"[0-9a-z_\-]{1,63}(?:\.[0-9a-z_\-]{1,63})*")
# A last label that inet_aton(3) would read as a number makes the whole host an IPv4 address.
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


class BadTarget(ValueError):
    """The request-target is not one that a proxy may act on; the text says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme ("http" or "https"), host in lower case without brackets, port (RFC 9110 §4.3.1)."""

    scheme: str
    host: str
    port: int
    # Host as it goes into a Host field: brackets for IPv6, no default port.
    authority: str = field(init=False, repr=False, compare=False)
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Origins are made once and spelled out for each request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        named = host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "authority", named)
        object.__setattr__(self, "_text", f"{self.scheme}://{named}")

    def __str__(self) -> str:
        return self._text


class TargetURI(Struct, frozen=True, gc=False):
    """Origin, and path with query as received ("/" for an empty path). ``str`` is the key form.

    The path "*" is OPTIONS about the server as a whole; its URI has no path (RFC 9112 §3.3).
    """

    origin: Origin
    path: str

    def __str__(self) -> str:
        return str(self.origin) if self.path == "*" else f"{self.origin}{self.path}"


class Absolute(Struct, frozen=True, gc=False):
    """absolute-form (§3.2.2): what a client asks of a proxy."""

    uri: TargetURI


class Authority(Struct, frozen=True, gc=False):
    """authority-form (§3.2.3), for CONNECT alone; the host is spelled as in ``Origin``."""

    host: str
    port: int


class OriginForm(Struct, frozen=True, gc=False):
    """origin-form (§3.2.1): path and query, asked of whoever the connection leads to."""

    path: str


class Asterisk(Struct, frozen=True, gc=False):
    """asterisk-form (§3.2.4): OPTIONS about the server as a whole."""


Target = Absolute | Authority | OriginForm | Asterisk


def parse(method: str, target: str) -> Target:
    """The form that ``method`` allows ``target`` to have. Raises BadTarget."""
    if method == "CONNECT":
        return _authority_form(target)
    if match := _ABSOLUTE.fullmatch(target):
        scheme, authority, path = match.groups()
        if path[:1] != "/":
            path = f"/{path}" if path or method != "OPTIONS" else "*"  # RFC 9112 §3.2.4
        return Absolute(TargetURI(parse_origin(_SCHEMES[scheme.lower()], authority), path))
    if _ORIGIN_FORM.fullmatch(target):
        return OriginForm(target)
    if target == "*" and method == "OPTIONS":
        return Asterisk()
    raise BadTarget(_objection(target))


def resolve(origin: Origin, path: str) -> TargetURI:
    """The target URI of an origin-form or "*" asked of ``origin`` (§3.3). Raises BadTarget."""
    if path != "*" and not _ORIGIN_FORM.fullmatch(path):
        raise BadTarget(_objection(path))
    return TargetURI(origin, path)


def parse_origin(scheme: str, authority: str) -> Origin:
    """The origin named by ``host[:port]``, as in a URI or a Host field. Raises BadTarget.

    ``scheme`` is "http" or "https". Memoised: checking a host is dearer than all else in ``parse``.
    """
    return _origins[scheme, authority]


def _origin(named: tuple[str, str]) -> Origin:
    scheme, authority = named
    host, port = _split(authority)
    return Origin(scheme, host, int(port) if port else DEFAULT_PORTS[scheme])


_origins: Final = Memo("origins", _origin, 3 * 2**19, longest=300, each=500)


def _authority_form(target: str) -> Authority:
    host, port = _split(target)
    if not port:
        # RFC 9110 §9.3.6: an empty port is no default port here.
        raise BadTarget("CONNECT needs host:port")
    return Authority(host, int(port))


def _split(authority: str) -> tuple[str, str | None]:
    """Canonical host and valid port of ``host[:port]``. Raises BadTarget."""
    match = _AUTHORITY.fullmatch(authority)
    if not match:
        raise BadTarget(_authority_objection(authority))
    host, port = match.groups()
    if port and (port[0] == "0" or len(port) > 5 or int(port) > 65535):
        raise BadTarget("the port is not between 1 and 65535")
    return _ipv6(host[1:-1]) if host[0] == "[" else _name_or_ipv4(host.lower()), port


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise BadTarget("the host is not a valid IPv6 address") from None
    # RFC 5952 §5; spelled out because Python versions differ in how they print it.
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _name_or_ipv4(host: str) -> str:
    # RFC 1034 §3.1: a dot at the end only says that the name is complete. One name, one spelling:
    # otherwise the dot would dodge access rules and double every stored response.
    complete = host.endswith(".")
    host = host.removesuffix(".")
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise BadTarget("the host has a label that is empty or over 63 octets, or is over 253")
    # RFC 3986 §7.4: 2130706433, 0177.0.0.1, 0x7f.1 and 127.1 are rare ways to write an address.
    if _NUMERIC.fullmatch(host) and (complete or not _IPV4.fullmatch(host)):
        raise BadTarget("an IPv4 address is written as four decimal numbers")
    return host


def _objection(target: str) -> str:
    """One sentence on why ``target`` has none of the forms that its method allows."""
    if not all("!" <= char <= "~" or "\x80" <= char <= "\xff" for char in target):
        return "the request-target has a space or a control character"
    if "#" in target:
        return "the request-target has a fragment"
    if target == "*":
        return "the request-target * is for OPTIONS alone"
    scheme, colon, rest = target.partition("://")
    if not colon:
        return "the request-target is neither an absolute URI nor a path"
    if scheme.lower() not in _SCHEMES:
        return "the scheme is not http, https, ws or wss"
    return _authority_objection(re.split(r"[/?]", rest, maxsplit=1)[0])


def _authority_objection(authority: str) -> str:
    if "@" in authority:
        return "the authority has userinfo"
    if not authority or authority[0] == ":":
        return "the host is empty"
    return "the authority is not a name, an IPv4 or a bracketed IPv6 address, with or without :port"
