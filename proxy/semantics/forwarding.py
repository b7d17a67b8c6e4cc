"""What a proxy changes in a head that it forwards (RFC 9110 §7.6).

Connection-specific fields go, Host is the target's, Via says that we were here. The result lacks
framing: Content-Length and Transfer-Encoding belong to whoever sends the body.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics import session_authentication
from proxy.semantics.fields import Fields
from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from proxy.semantics.targets import TargetURI

# RFC 9110 §7.6.1, and what is for the next hop alone: §11.7, RFC 9112 §7, RFC 9113 §3.2.1.
_CONNECTION_SPECIFIC: Final = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_USUAL_OPTIONS: Final = _CONNECTION_SPECIFIC | {"close"}
# RFC 9110 §6.5.1: what frames, routes, authenticates, or says how to take the message, comes before
# its content or not at all; what follows it was decided on without it.
_NOT_IN_TRAILERS: Final = _CONNECTION_SPECIFIC | {
    "age",
    "authentication-info",
    "authorization",
    "cache-status",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "vary",
    "via",
    "www-authenticate",
}
_NOT_IN_TRAILERS_EITHER: Final = re.compile(r"if-.*|access-control-.*|.*-?cache-control")
_NOT_IN_RESPONSES: Final = _CONNECTION_SPECIFIC | {"content-length"}
_NOT_IN_REQUESTS: Final = _NOT_IN_RESPONSES | {"host"}

# RFC 9110 §7.6.1: fields for all recipients are never connection options. Nominating one would
# show the origin another request, or a client another response, than the one that we judged.
_FOR_ALL_RECIPIENTS: Final = re.compile(
    r"(?:accept|access-control|content|if|sec|x-forwarded)(?:-.*)?|.*-?cache-control|"
    r"age|allow|authorization|cookie|date|etag|expect|expires|forwarded|host|last-modified|"
    r"location|max-forwards|origin|pragma|range|referer|retry-after|server|set-cookie|"
    r"strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
# RFC 9110 §7.8; never h2c or HTTP/x: a tunnel of requests that nobody judges.
_PROTOCOL: Final = re.compile(
    r"(?!h2c?(?:/|\Z)|http(?:/|\Z))[!#$%&'*+\-.^_`|~0-9a-z]+(?:/[!#$%&'*+\-.^_`|~0-9a-z]+)?",
    re.IGNORECASE | re.ASCII,
)
_MAX_FORWARDS: Final = re.compile(r"[0-9]{1,9}")
_NONE: Final[frozenset[str]] = frozenset()
_WEIGHT_ZERO: Final = re.compile(r"q=0(?:\.0{0,3})?", re.IGNORECASE)


def request_fields(fields: Fields, uri: TargetURI, via: str, minor: int, host: str = "") -> Fields:
    """The fields of a request as they go to the origin (or parent), Host first, without framing.

    ``via`` is our pseudonym, ``minor`` the HTTP/1 minor version in which the request came.
    ``host`` is the Host field where it is not that of the URI.
    """
    lines = [("Host", host or uri.origin.authority)]
    lines += _end_to_end(fields, _NOT_IN_REQUESTS)
    if "te" in fields and accepts_trailers(fields, minor):
        lines += (("TE", "trailers"), ("Connection", "TE"))
    lines.append(("Via", f"1.{minor} {via}"))
    return Fields(lines)


def response_fields(fields: Fields, via: str, minor: int, *, keep_length: bool = False) -> Fields:
    """The fields of a response as they go to the client, and into the cache, without framing.

    ``keep_length`` for a Content-Length that is not framing: of an answer to HEAD, and of a 304.
    """
    if keep_length and "," in (length := fields.get("content-length") or ""):
        # RFC 9110 §8.6: framing has seen that all of them are equal.
        fields = fields.replacing("Content-Length", length.partition(",")[0].rstrip(" \t"))
    drop = _CONNECTION_SPECIFIC if keep_length else _NOT_IN_RESPONSES
    lines = _end_to_end(fields, drop)
    if "www-authenticate" in fields and session_authentication.may_pass(fields):
        lines += session_authentication.SUPPORTED
    lines.append(("Via", f"1.{minor} {via}"))
    return Fields(lines)


def interim_fields(fields: Fields, via: str, minor: int) -> Fields:
    """The fields of an interim response as they go to the client (§15.2)."""
    return Fields((*_end_to_end(fields, _NOT_IN_RESPONSES), ("Via", f"1.{minor} {via}")))


def trailer_fields(trailers: Fields, head: Fields) -> Fields:
    """The trailers of a response with that ``head`` as they go to a client (§6.5.1)."""
    lines = _end_to_end(trailers, _NOT_IN_TRAILERS | nominated(head))
    return Fields(line for line in lines if not _NOT_IN_TRAILERS_EITHER.fullmatch(line[0].lower()))


def nominated(fields: Fields) -> frozenset[str]:
    """What Connection takes out of the message beyond what always goes (§7.6.1), in lower case."""
    lines = fields.all("connection")
    if not lines:
        return _NONE
    # Nearly always keep-alive or close; what is manifold is not worth remembering.
    return _nominations[lines] if len(lines) == 1 else _nominated(lines)


def _nominated(lines: tuple[str, ...]) -> frozenset[str]:
    options = {member.lower() for line in lines for member in list_members(line)}
    options -= _USUAL_OPTIONS
    return frozenset(name for name in options if not _FOR_ALL_RECIPIENTS.fullmatch(name))


_nominations: Final = Memo("nominated fields", _nominated, 2**16, each=400, per_octet=40)


def passed_through(fields: Fields, pseudonym: str) -> bool:
    """Whether Via says that the message has been here (§7.6.3).

    Commas inside comments and quotes split too: to see a loop that is none is the lesser evil.
    """
    if "via" not in fields:
        return False
    name = pseudonym.lower()
    entries = (entry.lower().split() for line in fields.all("via") for entry in line.split(","))
    return any(len(words) > 1 and words[1] == name for words in entries)


def connect_via(fields: Fields, via: str, minor: int) -> str:
    """The Via of a CONNECT that goes on to another proxy, where nothing else of it does."""
    return ", ".join((*fields.all("via"), f"1.{minor} {via}"))


def max_forwards(fields: Fields) -> int | None:
    """How many times TRACE or OPTIONS may still be forwarded (§7.6.2); None: as often as needed."""
    value = fields.get("max-forwards")
    return int(value) if value and _MAX_FORWARDS.fullmatch(value) else None


def accepts_trailers(fields: Fields, minor: int) -> bool:
    """Whether TE says that the sender will not drop trailers (§6.5.1, §10.1.4)."""
    return minor > 0 and any(_is_trailers(member) for member in fields.members("te"))


def upgrade_protocol(fields: Fields, minor: int = 1) -> str | None:
    """The protocols to pass on in Upgrade, comma-separated; None if there is nothing to upgrade.

    To ignore Upgrade is always allowed (§7.8): from HTTP/1.0, without the connection option, and
    for HTTP/2.
    """
    if "upgrade" not in fields or minor == 0:
        return None
    if not any(option.lower() == "upgrade" for option in fields.members("connection")):
        return None
    protocols = [p for p in fields.members("upgrade") if _PROTOCOL.fullmatch(p)]
    return ", ".join(protocols) or None


def upgrading(fields: Fields, protocol: str) -> Fields:
    """Forwarded fields with the Connection and Upgrade fields of a request to upgrade, or a 101."""
    return fields.adding(("Connection", "Upgrade"), ("Upgrade", protocol))


def _end_to_end(fields: Fields, drop: frozenset[str]) -> list[tuple[str, str]]:
    if named := nominated(fields):
        drop |= named
    return [line for line in fields.lines if line[0].lower() not in drop]


def _is_trailers(member: str) -> bool:
    coding, _, weight = member.partition(";")
    return coding.rstrip(" \t").lower() == "trailers" and not _WEIGHT_ZERO.fullmatch(weight.strip())
