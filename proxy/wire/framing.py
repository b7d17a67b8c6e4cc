"""Where a body ends (RFC 9112 §6.3) and whether the connection goes on (§9.3).

Anything that two parsers could frame differently is refused, from origins as from clients; equal
lengths are one length (RFC 9110 §8.6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from proxy.bounded import Memo
from proxy.semantics.grammar import is_token, list_members
from proxy.wire.heads import BadMessage

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class NoBody:
    """The message ends with its head."""

    length: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Sized:
    """``length`` octets follow the head."""

    length: int


@dataclass(frozen=True, slots=True)
class Chunked:
    """The chunked transfer coding (§7.1) delimits the body."""

    length: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class UntilClose:
    """The end of the connection is the end of the body; only responses."""

    length: ClassVar[None] = None


Framing = NoBody | Sized | Chunked | UntilClose

NO_BODY: Final = NoBody()
CHUNKED: Final = Chunked()
UNTIL_CLOSE: Final = UntilClose()

# Eighteen digits are over 888 PB, and stay within 63 bits wherever they go next. RFC 9110 §8.6: a
# sender may have said it several times, on lines that were combined or not.
_LENGTH: Final = re.compile(r"([0-9]{1,18})(?:[ \t]*+,[ \t]*+\1)*+")
_LONGEST: Final = 64  # octets of a Content-Length, so that many can be remembered
# Not ``str.lower``: that takes the KELVIN SIGN for a k.
_CHUNKED: Final = re.compile("chunked", re.ASCII | re.IGNORECASE)
# RFC 9112 §7.2: we never ask for these, and no field says them of the octets that we pass on.
_COMPRESSION: Final = frozenset({"compress", "deflate", "gzip", "x-compress", "x-gzip"})
_KEEP_ALIVE: Final = frozenset({"keep-alive", "Keep-Alive"})  # what nearly all write who say it


def request_framing(head: RequestHead) -> Framing:
    """How the body of a request is delimited. Raises BadMessage (400, 501 for unknown codings)."""
    fields = head.fields
    if "transfer-encoding" in fields:
        framing: Framing = _transfer_coded(head)
    elif "content-length" in fields:
        framing = _sized(fields.get("content-length") or "")
    else:
        return NO_BODY
    # RFC 9110 §9.3.6: CONNECT has no content; what follows it belongs to the tunnel.
    if head.method == "CONNECT" and framing != Sized(0):
        raise BadMessage(400, "a CONNECT request has no body")
    return framing


def _transfer_coded(head: RequestHead) -> Chunked:
    fields = head.fields
    if "content-length" in fields:
        raise BadMessage(400, "both Transfer-Encoding and Content-Length were sent")
    if head.minor == 0:
        raise BadMessage(400, "Transfer-Encoding was sent in an HTTP/1.0 request")
    codings = ", ".join(fields.all("transfer-encoding"))
    if _CHUNKED.fullmatch(codings):
        return CHUNKED
    codings = codings.lower()
    unknown = [m for m in list_members(codings) if m != "chunked"]
    if unknown and all(map(is_token, unknown)) and not codings.startswith("chunked"):
        raise BadMessage(501, "no transfer coding but chunked is understood here")
    raise BadMessage(400, "Transfer-Encoding is not exactly: chunked")


def _parsed(value: str) -> Sized:
    match = _LENGTH.fullmatch(value) if len(value) <= _LONGEST else None
    if match is None:
        raise BadMessage(400, "Content-Length is not one decimal number")
    return Sized(int(match[1]))


_sized: Final = Memo("lengths", _parsed, 2**18, longest=20).__getitem__


def response_framing(method: str, head: ResponseHead) -> Framing:
    """How the body of the response to ``method`` is delimited. Raises BadMessage.

    ``UntilClose`` beside a Transfer-Encoding field means a coding that nobody knows: the field
    must be stripped.
    """
    status, names = head.status, head.fields.names()
    coded, sized = "transfer-encoding" in names, None
    # Checked even where it frames nothing: to HEAD and in a 304 the field is passed on.
    if "content-length" in names:
        sized = _sized(head.fields.get("content-length") or "")
        if coded:
            raise BadMessage(400, "both Transfer-Encoding and Content-Length were sent")
    if method == "HEAD" or status < 200 or status in (204, 304):
        return NO_BODY
    if method == "CONNECT" and status < 300:
        return NO_BODY
    return _response_coding(head) if coded else sized or UNTIL_CLOSE


def _response_coding(head: ResponseHead) -> Chunked | UntilClose:
    codings = ", ".join(head.fields.all("transfer-encoding"))
    # §6.1: Transfer-Encoding in an HTTP/1.0 message is faulty framing.
    if head.minor and _CHUNKED.fullmatch(codings):
        return CHUNKED
    # §6.3: what is no known coding ends with the connection. Anything that another reader might
    # take for chunked is not guessed at.
    names = [member.strip(" \t") for member in codings.lower().split(",")]
    unknown = _COMPRESSION.isdisjoint(names) and all(map(is_token, names))
    if not head.minor or "chunked" in codings.lower() or not unknown:
        raise BadMessage(400, "Transfer-Encoding is not exactly: chunked")
    return UNTIL_CLOSE


def keeps_alive(minor: int, fields: Fields) -> bool:
    """Whether the sender of this head means to keep the connection (RFC 9112 §9.3)."""
    connection = fields.get("connection")
    if connection is None:
        return minor >= 1
    if connection in _KEEP_ALIVE:
        return True
    options = [option.lower() for option in fields.members("connection")]
    return "close" not in options and (minor >= 1 or "keep-alive" in options)
