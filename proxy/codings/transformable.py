"""Whether the octets of a response may be changed on their way, and who gets them if not: pure.

Three kinds of response. Most may be decoded and encoded, so that one stored body serves every
client. *Fixed* ones (no-transform, signed) stay as they are; who does not take their coding has
the origin asked in its own words. *Verbatim* ones are in a coding of their own, or say of their
octets what they are; they go as they came to everybody, as they would without a proxy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.codings.registry import chain
from proxy.policy import keys
from proxy.policy.directives import parse_response_directives
from proxy.semantics.grammar import list_members
from proxy.semantics.negotiation import accepted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.codings.options import CodingOptions
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request, ResponseHead
    from proxy.semantics.negotiation import Accepted

_READING: Final = frozenset({"GET", "HEAD"})
# No body, or a part of one.
_NOT_WHOLE: Final = frozenset({204, 205, 206, 304})
# RFC 9421, and the drafts before it: signatures may cover what a transformation changes.
_SIGNED: Final = frozenset({"signature", "signature-input"})
_EVENT_STREAM: Final = "text/event-stream"
# Coded files rather than coded transfers: who asks for an archive wants those very octets.
_FILES: Final = frozenset(
    {"application/x-tar", "application/x-gtar", "application/gzip", "application/x-gzip"}
    | {"application/x-compressed", "application/x-compressed-tar", "application/x-tgz"}
    | {"application/zstd", "application/x-zstd", "application/x-brotli", "application/zip"}
    | {"application/x-xz", "application/x-bzip2", "application/x-7z-compressed"}
    | {"application/vnd.debian.binary-package", "application/java-archive"}
    | {"application/octet-stream", "binary/octet-stream"}
)
_SUFFIXES: Final = (
    *(".gz", ".tgz", ".svgz", ".br", ".zst", ".tzst", ".zip", ".xz", ".txz", ".bz2", ".tbz2"),
    *(".7z", ".lz4", ".tar", ".whl", ".jar", ".deb", ".rpm", ".apk", ".crate", ".nupkg"),
)
_FILENAME: Final = re.compile(
    r"""filename\*?[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;]*)""", re.IGNORECASE | re.DOTALL
)
# RFC 9530, the fields before it, and what object stores say of the octets of an object.
_DIGESTS: Final = re.compile(
    r"(?:content|repr)-digest|digest|content-md5|docker-content-digest|x-goog-hash"
    r"|x-amz-checksum-.+|x-checksum-.+|x-ms-(?:blob-)?content-(?:md5|crc64)"
    r"|x-(?:amz|goog|ms)-meta-.*(?:md5|sha|crc|checksum|digest|hash).*"
)
_USUAL: Final = 32  # names in a response
_LONGEST: Final = 128  # octets of a name
# What clients sign is what origins must see: in these fields, or in the query (AWS, Google, Azure).
_SIGNING_FIELDS: Final = re.compile(r"authorization|.*signature.*|x-(?:amz|goog|ms)-.*")
_SIGNING_PARAMETERS: Final = re.compile(
    r"x-(?:amz|goog)-.*|.*signature|sig|awsaccesskeyid|key-pair-id", re.IGNORECASE
)


def negotiable(request: Request, options: CodingOptions) -> bool:
    """Whether a request may go to the origin with an Accept-Encoding of the proxy's own.

    Not one that is signed, asks for a part or against storing, nor one that refuses all that would
    be asked for, or wants a live feed.
    """
    fields, wanted = request.fields, accepted(request.fields)
    if request.method not in _READING or "range" in fields or not options.prefer:
        return False
    if wanted.stated:
        agreed = any(wanted.q(coding) > 0 for coding in options.prefer)
    else:
        agreed = request.method == "GET"
    directives = _directives(fields)
    return (
        agreed
        and directives.isdisjoint(("no-transform", "no-store"))
        and _EVENT_STREAM not in (fields.get("accept") or "").lower()
        and not any(map(_SIGNING_FIELDS.fullmatch, fields.names()))
        and not _is_signed(request.uri.path)
    )


def _is_signed(path: str) -> bool:
    """Whether a parameter of the query is of a signature."""
    parameters = path.partition("?")[2].split("&")
    names = (p.partition("=")[0].rpartition("?")[2] for p in parameters if "=" in p)
    return any(map(_SIGNING_PARAMETERS.fullmatch, names))


def is_fixed(request: Request, head: ResponseHead) -> bool:
    """Whether the response goes to this client in the octets in which it came, or not at all."""
    fields = head.fields
    if request.method not in _READING or head.status < 200 or head.status in _NOT_WHOLE:
        return True
    if not _SIGNED.isdisjoint(fields.names()) or _is_live(fields):
        return True
    if chain(fields) is None:
        return True
    # RFC 9111 §5.2.1.6, §5.2.2.6.
    return "no-transform" in _directives(request.fields) or "no-transform" in _directives(fields)


def is_verbatim(request: Request, head: ResponseHead, offered: Fields | None) -> bool:
    """Whether the octets of a response are those of the object, and go to everybody as they came.

    ``offered`` are the fields with which the origin was asked: a coding that they do not offer is
    no matter of the transfer. So are those of files that are coded, and of octets with a digest.
    None: every coding that is known here was offered.
    """
    fields = head.fields
    coded = "content-encoding" in fields
    if coded and offered is not None:
        codings = list_members(fields.get("content-encoding") or "")
        if not takes(accepted(offered), codings):
            return True
    names = tuple(fields.names())
    # A server sends the same names each time; what is long or manifold is not worth remembering.
    digested = _digested if len(names) <= _USUAL else _has_digest
    return digested(names) or (coded and _is_file(request, fields))


def can_receive(request: Request, stored: StoredResponse) -> bool:
    """Whether this client can be sent a stored response, as it is or in another coding.

    If not, the origin is to be asked in the client's own words.
    """
    return stored.verbatim or suits(request, stored.head)


def suits(request: Request, head: ResponseHead) -> bool:
    """The same of a head alone. An unknown coding suits: it is in use unasked, or selects."""
    codings = chain(head.fields)
    if not codings or head.status in _NOT_WHOLE or takes(accepted(request.fields), codings):
        return True
    return not is_fixed(request, head) and not is_verbatim(request, head, None)


def selecting(request: Request, stored: StoredResponse) -> keys.Selecting:
    """What selects a response to ``request`` that is not verbatim (RFC 9111 §4.1).

    Accept-Encoding is among it only where the octets are fixed, or a part: others serve every
    value of it, also those that the origin has not seen.
    """
    others = tuple(field for field in stored.selecting if field[0] != "accept-encoding")
    varies = len(others) < len(stored.selecting) or "content-encoding" in stored.head.fields
    if not varies or (stored.part is None and not is_fixed(request, stored.head)):
        return others
    own = keys.selecting(("accept-encoding",), request.fields) or ()
    return tuple(sorted((*own, *others)))


def takes(wanted: Accepted, codings: Iterable[str]) -> bool:
    """Whether the client can be sent these; one that says nothing often decodes nothing."""
    return wanted.stated and all(wanted.q(coding) > 0 for coding in codings)


def _media_type(fields: Fields) -> str:
    """That of Content-Type in lower case, without parameters."""
    return (fields.get("content-type") or "").partition(";")[0].strip(" \t").lower()


def _has_digest(names: tuple[str, ...]) -> bool:
    return any(len(name) <= _LONGEST and _DIGESTS.fullmatch(name) for name in names)


_digested: Final = Memo(
    "names of fields", _has_digest, 2**18, longest=1024, per_octet=8
).__getitem__


def _is_file(request: Request, fields: Fields) -> bool:
    """Whether the coding is that of a file: many a server says of x.tar.gz that it is gzip."""
    path = request.uri.path.partition("?")[0].lower()
    if path.endswith(_SUFFIXES) or _media_type(fields) in _FILES:
        return True
    disposition = fields.get("content-disposition")
    if disposition is None:
        return False
    return any(
        name.strip(' \t"').lower().endswith(_SUFFIXES) for name in _FILENAME.findall(disposition)
    )


def _is_live(fields: Fields) -> bool:
    """Whether what is sent is to be seen at once, which coders would hold back."""
    buffering = fields.get("x-accel-buffering")
    return _media_type(fields) == _EVENT_STREAM or (
        buffering is not None and buffering.strip().lower() == "no"
    )


def _directives(fields: Fields) -> frozenset[str]:
    """The names of directives that matter here, whatever their form."""
    value = fields.get("cache-control")
    if value is None or "no-" not in value.lower():
        return frozenset()
    parsed = parse_response_directives(fields)
    return parsed.extensions | {"no-store"} if parsed.no_store else parsed.extensions
