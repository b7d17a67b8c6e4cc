"""Which form of a stored response a client gets, and what that makes of its fields: pure.

One stored body serves every Accept-Encoding (RFC 9110 §12.5.3), and an entity tag never stands
for two byte sequences (§8.8.3.3): the strong tag ``"v1"`` goes out as ``"v1~forecache.identity"``
where the body is decoded, which gives the same octets each time, and as ``W/"v1~forecache.gzip"``
where it is encoded here, which may not. The mark has our name in it, so that no origin makes it
by accident; a weak tag of the origin stands for all forms as it is.

Answer preconditions by ``head_of`` and the request as it came: a marked tag matches just the form
that it names. What goes to the origin goes ``unmarked``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.codings.registry import NAMES, Chain, Coding, chain
from proxy.codings.transformable import is_fixed, takes
from proxy.semantics.globs import Glob
from proxy.semantics.negotiation import accepted
from proxy.semantics.validators import ETag, entity_tag, parse_etag, parse_etags

if TYPE_CHECKING:
    from collections.abc import Collection

    from proxy.codings.options import CodingOptions
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request, ResponseHead
    from proxy.semantics.negotiation import Accepted

MARK: Final = "~forecache."

# RFC 9530 and the fields before it say something of the octets as they were.
_OF_THE_OCTETS: Final = frozenset(
    {"content-encoding", "content-length", "etag"}
    | {"content-digest", "repr-digest", "digest", "content-md5"}
)
_OF_OCTETS_ON_THE_FLY: Final = _OF_THE_OCTETS | {"accept-ranges"}
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
_LONGEST_TYPE: Final = 256  # octets
_VALIDATED: Final = (("if-none-match", "If-None-Match"), ("if-match", "If-Match"))


@dataclass(frozen=True, slots=True)
class AsStored:
    """The stored octets. ``negotiated``: with another Accept-Encoding they may be others.

    ``for_all``: they have no coding and serve everybody, so that Vary need not speak of it.
    """

    negotiated: bool = False
    for_all: bool = False


@dataclass(frozen=True, slots=True)
class Decode:
    """The stored octets with the codings of ``chain`` undone; ``length`` of them, if known."""

    chain: Chain
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Encode:
    """The stored octets in ``coding``, once those of ``chain`` are undone (() for none)."""

    coding: Coding
    chain: Chain = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """The octets that are kept beside the stored ones in that coding, which may be identity."""

    coding: Coding


Form = AsStored | Decode | Encode | Kept

_AS_STORED: Final = AsStored()
_NEGOTIATED: Final = AsStored(negotiated=True)
_FOR_ALL: Final = AsStored(negotiated=True, for_all=True)
_DECODED_AND_KEPT: Final = Kept(Coding.IDENTITY)


def choose(
    request: Request,
    head: ResponseHead,
    length: int | None,
    options: CodingOptions,
    local: bool,
    kept: Collection[Coding] = (),
) -> Form:
    """The form in which this client gets a whole stored response, the same for GET and HEAD.

    ``length`` of the stored octets, None while not known; ``local``: the client is on this
    machine; ``kept``: the codings of the forms beside it. Range plays no part: a download that is
    resumed gets the form that it began with.
    """
    plain = length == 0 or _is_plain_exchange(request, head, options, local)
    if plain or is_fixed(request, head):
        return _AS_STORED
    codings = chain(head.fields) or ()
    shrinks = options.encode != "never" and _shrinks(head.fields, options)
    if not codings and not shrinks:
        return _AS_STORED
    wanted = accepted(request.fields)
    if codings and takes(wanted, codings):
        return _NEGOTIATED
    takes_identity = wanted.q(Coding.IDENTITY) > 0
    # Of a coded body the stored octets count: they are fewer than those to be encoded.
    worth = shrinks and (length is None or length >= options.min_size)
    encodes = worth and (options.encode == "always" or not local)
    if options.encode != "never" and (worth or not takes_identity):
        liked = _liked(wanted, options)
        if beside := next((coding for coding in liked if coding in kept), None):
            return Kept(beside)
        if liked and (encodes or not takes_identity):
            return Encode(liked[0], codings)
    if not codings and not encodes:
        return _FOR_ALL
    if not codings or not takes_identity:
        return _NEGOTIATED
    return _DECODED_AND_KEPT if Coding.IDENTITY in kept else Decode(codings)


def _is_plain_exchange(
    request: Request, head: ResponseHead, options: CodingOptions, local: bool
) -> bool:
    """Whether neither side says anything of codings, and nothing is encoded unasked: most often."""
    said = request.fields.names()
    return (
        (local or options.encode == "never")
        and options.encode != "always"
        and "content-encoding" not in head.fields
        and "accept-encoding" not in said
    )


def sliceable(request: Request, form: Form) -> bool:
    """Whether a Range of the request may be obeyed for this form; if not, it gets all (§14.2).

    Only of octets that stand still. A date in If-Range names no form, so that where there are
    several it matches none (§13.1.5); the tag is for ``ranges.plan`` and ``head_of`` to compare.
    """
    if form == _AS_STORED:
        return True
    if not _stands_still(form):
        return False
    condition = request.fields.get("if-range")
    return condition is None or parse_etag(condition) is not None


def _stands_still(form: Form) -> bool:
    """Whether the octets are the same each time, and their number is known."""
    if isinstance(form, Decode):
        return form.length is not None
    return isinstance(form, AsStored) or form == _DECODED_AND_KEPT


def head_of(head: ResponseHead, form: Form) -> Fields:
    """The fields that go out with this form, of a 200 as of a 304; only AsStored has a length."""
    if isinstance(form, AsStored):
        return _varying(head.fields) if form.negotiated and not form.for_all else head.fields
    coding = Coding.IDENTITY if isinstance(form, Decode) else form.coding
    changed = _OF_THE_OCTETS if _stands_still(form) else _OF_OCTETS_ON_THE_FLY
    return _coded(head.fields, coding, changed)


def unmarked(fields: Fields) -> Fields:
    """Request fields with the origin's own tags in If-None-Match and If-Match.

    If-Range keeps its mark, and so matches nothing: the octets that it names are none of the
    origin's, and a part of those must not be joined to them.
    """
    for name, spelling in _VALIDATED:
        value = fields.get(name)
        if value is None or MARK not in value:
            continue
        own = _own[value]
        if own != value:
            fields = fields.replacing(spelling, own)
    return fields


def as_held(head: ResponseHead, asked: Fields) -> Fields:
    """The fields of a 304 that the origin gave to ``unmarked(asked)``, for that very client.

    It names the tag by which the client knows what it has; none where it named several forms.
    """
    fields, value = head.fields, asked.get("if-none-match") or ""
    tag = entity_tag(fields)
    if tag is None or MARK not in value:
        return fields
    held = [own for own in parse_etags(value) or () if _original(own.opaque) == tag.opaque]
    if len(held) > 1:
        return fields.without({"etag"})
    return (
        fields.replacing("ETag", str(held[0])) if held and held[0].opaque != tag.opaque else fields
    )


def _shrinks(fields: Fields, options: CodingOptions) -> bool:
    said = fields.get("content-type")
    return said is not None and len(said) <= _LONGEST_TYPE and _shrinking[said, options.types]


def _matches(said: tuple[str, tuple[str, ...]]) -> bool:
    content_type, types = said
    media_type = content_type.partition(";")[0].strip(" \t").lower()
    return any(glob.matches(media_type) for glob in _globs(types))


# The types are those of the configuration, and no part of what is counted.
_shrinking: Final = Memo("media types", _matches, 2**17, longest=2**14, per_octet=0, each=500)


@lru_cache(maxsize=16)
def _globs(types: tuple[str, ...]) -> tuple[Glob, ...]:
    return tuple(Glob(each.lower(), apart="/") for each in types)


def _liked(wanted: Accepted, options: CodingOptions) -> list[Coding]:
    """What we encode that the client likes as much as identity, the most liked first.

    ``*`` alone is no reason to encode, nor is silence, as long as identity is acceptable.
    """
    plain = wanted.q(Coding.IDENTITY)
    liked = [
        coding
        for coding in options.prefer
        if 0 < wanted.q(coding) >= plain and (wanted.names(coding) or not plain)
    ]
    return sorted(liked, key=wanted.q, reverse=True)


def _coded(fields: Fields, coding: Coding, changed: frozenset[str]) -> Fields:
    lines = []
    if tag := entity_tag(fields):
        lines.append(("ETag", str(tag if tag.weak else _marked(tag, coding))))
    if coding is not Coding.IDENTITY:
        lines.append(("Content-Encoding", coding.value))
    return _varying(fields.without(changed).adding(*lines))


def _varying(fields: Fields) -> Fields:
    members = {member.lower() for member in fields.members("vary")}
    if members.isdisjoint(("*", "accept-encoding")):
        return fields.adding(("Vary", "Accept-Encoding"))
    return fields


def _marked(tag: ETag, coding: Coding) -> ETag:
    return ETag(f"{tag.opaque}{MARK}{coding}", weak=coding is not Coding.IDENTITY)


def _original(opaque: str) -> str:
    """An opaque tag without its marks: of every proxy on the way that speaks like us."""
    own, *marks = opaque.split(MARK)
    return own if NAMES.issuperset(marks) else opaque


def _unmarked(value: str) -> str:
    """Entity tags as the origin knows them: what is marked was strong (``_marked``)."""
    return _TAG.sub(_restored, value)


_own: Final = Memo("marked tags", _unmarked, 2**18, longest=256)


def _restored(tag: re.Match[str]) -> str:
    own = _original(tag[1])
    return tag[0] if own == tag[1] else f'"{own}"'
