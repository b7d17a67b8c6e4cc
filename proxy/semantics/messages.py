"""Message heads and the facts about methods and statuses (RFC 9110 §9, §15)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.semantics.fields import Fields  # noqa: TC001 - a Struct's types are looked up

if TYPE_CHECKING:
    from proxy.semantics.targets import TargetURI

# RFC 9110 §9.2.1 and §9.2.2; PROPFIND, REPORT and SEARCH: RFC 4918, 3253, 5323.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH"})
IDEMPOTENT_METHODS: Final = SAFE_METHODS | {"PUT", "DELETE"}

# Reason phrases for heads of our own making; RFC 9110 §15.5 where Python versions differ.
PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class RequestHead(Struct, frozen=True, gc=False):
    """A request head as received: ``target`` is the request-target, ``minor`` of HTTP/1.minor."""

    method: str
    target: str
    minor: int
    fields: Fields


class _Considered:
    """Room for what others work out once per request: not fields, so neither compared nor copied.

    ``_validating`` are the fields as they go to the origin, the preconditions that it last went
    with in place of its own, and both together; ``_standing`` is how the cache sees it. ``_once``:
    it was not met before, and this object will not be met again.
    """

    __slots__ = ("_once", "_standing", "_validating")
    _once: bool
    _validating: tuple[Fields, Fields, Fields]
    _standing: object


@dataclass(frozen=True, slots=True)
class Request(_Considered):
    """A request whose target URI is known (RFC 9110 §7.1): what policy and exchange speak of.

    ``minor`` is the client's HTTP/1 minor version; ``fields`` are as received. ``local``: the
    client is on this machine. ``host``: the Host field, inside a CONNECT to another authority; ""
    where it is that of the URI.
    """

    method: str
    uri: TargetURI
    fields: Fields
    minor: int = 1
    local: bool = False
    host: str = ""


class ResponseHead(Struct, frozen=True, gc=False):
    """A response head; ``minor`` is that of the message as received."""

    status: int
    reason: str
    fields: Fields
    minor: int = 1
