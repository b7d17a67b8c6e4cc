"""Validation (RFC 9111 §4.3): what to ask with, and what the answer makes of what is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.policy import keys
from proxy.policy.directives import parse_response_directives
from proxy.policy.freshness import date, terms
from proxy.policy.stored import StoredResponse
from proxy.policy.storing import (
    COOKIES,
    Store,
    has_validator,
    kept_fields,
    may_store,
    shares_cookies,
)
from proxy.semantics.dates import parse_date
from proxy.semantics.fields import NO_FIELDS, Fields
from proxy.semantics.messages import PHRASES, ResponseHead
from proxy.semantics.ranges import OF_CONTENT
from proxy.semantics.validators import entity_tag, is_strong_last_modified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.semantics.fields import Line
    from proxy.semantics.messages import Request
    from proxy.semantics.validators import ETag

MOST_TAGS: Final = 16  # in If-None-Match: no origin should refuse our fields as too large

# §3.2: what describes the bytes that are held, or the message that brought the update.
_NOT_UPDATED: Final = frozenset(
    {"content-encoding", "content-length", "content-range", "transfer-encoding"} | OF_CONTENT
)
_NOT_UPDATED_OR_COOKIES: Final = _NOT_UPDATED | COOKIES
_DATE: Final = frozenset({"date"})
_TIMES_ARE_NEWS_AFTER: Final = 60.0  # seconds
# They say when the earlier response was made: gone even if the update is silent about it.
_SUPERSEDED: Final = frozenset({"age", "date"})


def conditional(found: Sequence[StoredResponse], candidate: StoredResponse) -> Fields:
    """Precondition fields to ask the origin with (§4.3.1); empty without a validator.

    The entity tags are those of all that is ``found`` whole, so that the origin may choose, the
    date that of the ``candidate``, which the request selects.
    """
    if len(found) > 1 or candidate not in found:
        return _conditional(found, candidate)
    known: Fields | None = getattr(candidate, "_conditional", None)
    if known is None:
        known = _conditional(found, candidate)
        object.__setattr__(candidate, "_conditional", known)
    return known


def _conditional(found: Sequence[StoredResponse], candidate: StoredResponse) -> Fields:
    coding = _coding_asked(candidate)
    others = [s for s in found if s is not candidate and s.part is None]
    offered = (candidate, *[s for s in others if _coding_asked(s) == coding])
    known = [entity_tag(stored.head.fields) for stored in offered]
    lines = _none_match([tag for tag in known if tag is not None])
    modified = candidate.head.fields.get("last-modified")
    if modified is not None and parse_date(modified) is not None:
        lines.append(("If-Modified-Since", modified))
    return Fields(lines) if lines else NO_FIELDS


def conditional_for_variant(found: Sequence[StoredResponse], request: Request) -> Fields:
    """The same where the request selects none of what is ``found`` (§4.1, last paragraph).

    Strong tags alone: a weak one may be common to variants that are no substitutes.
    """
    coding = dict(keys.selecting(("accept-encoding",), request.fields) or ())
    offered = (s for s in found if s.part is None and _coding_asked(s) in (None, coding))
    known = [entity_tag(stored.head.fields) for stored in offered]
    return Fields(_none_match([tag for tag in known if tag is not None and not tag.weak]))


def _coding_asked(stored: StoredResponse) -> dict[str, str | None] | None:
    """What the coding of the variant was negotiated by; None where it does not matter.

    Many an origin gives all codings of a representation one tag: a variant that was negotiated
    by another Accept-Encoding is never offered, as who asks may not be able to decode it.
    """
    if not stored.selecting:
        return None
    asked = {name: value for name, value in stored.selecting if name == "accept-encoding"}
    return asked or None


def _none_match(tags: Sequence[ETag]) -> list[Line]:
    texts = list(dict.fromkeys(map(str, tags)))
    return [("If-None-Match", ", ".join(texts[:MOST_TAGS]))] if texts else []


def selected(
    found: Sequence[StoredResponse], request: Request, head: ResponseHead
) -> tuple[StoredResponse, ...]:
    """Which of the stored responses a 304 freshens (§4.3.4), the most recent first.

    A weak validator may be common to variants: then it is about what the ``request`` selects.

    None: it is about something that is not stored, and the request is to be made again without
    preconditions of ours.
    """
    recent = found
    if len(found) > 1:
        recent = sorted(found, key=lambda s: (keys.selects(s, request), date(s)), reverse=True)
    tag, modified = entity_tag(head.fields), head.fields.get("last-modified")
    if tag is not None:
        held = [(stored, entity_tag(stored.head.fields)) for stored in recent]
        same = [stored for stored, its in held if its is not None and its.matches_strongly(tag)]
        # An origin that compresses on the fly weakens the tag of its 200, but not of its 304:
        # what it confirmed is the tag that we sent, and comparison was weak there.
        alike = [stored for stored, its in held if its is not None and its.matches_weakly(tag)]
        return tuple(same or alike[:1])
    if modified is not None:
        same = [s for s in recent if s.head.fields.get("last-modified") == modified]
        return tuple(same if is_strong_last_modified(head.fields) else same[:1])
    # Only one can be meant. Many an origin leaves the validator out that it has just compared.
    return tuple(recent) if len(recent) == 1 else ()


def freshened(
    stored: StoredResponse,
    head: ResponseHead,
    request: Request,
    options: Options,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """The stored response with the fields and the times of the 304 ``head`` (§3.2, §4.3.4).

    Whether it may stay is for ``may_store`` to say, asked about its new head.
    """
    held = stored.head
    fields = updated_fields(held.fields, head.fields, options, response_time)
    selecting: keys.Selecting | None = stored.selecting
    if _is_selected_otherwise(held.fields, fields):
        selecting = keys.selecting(_selecting_members(stored, fields), request.fields)
    # Spelled out: ``replace`` costs twice as much.
    return StoredResponse(
        id=stored.id,
        selecting=selecting or (),
        head=ResponseHead(held.status, held.reason, fields, held.minor),
        request_time=request_time,
        response_time=response_time,
        length=stored.length,
        checksum=stored.checksum,
        personal=stored.personal,
        part=stored.part,
        verbatim=stored.verbatim,
        decoded_length=stored.decoded_length,
    )


def _is_selected_otherwise(held: Fields, fields: Fields) -> bool:
    allowed = "access-control-allow-origin"
    return fields.get("vary") != held.get("vary") or fields.get(allowed) != held.get(allowed)


def _selecting_members(stored: StoredResponse, fields: Fields) -> list[str]:
    """Those of the new Vary, but for Accept-Encoding where it did not select before."""
    members = keys.varying(fields)
    selects = any(name == "accept-encoding" for name, _ in stored.selecting)
    if selects or "accept-encoding" not in map(str.lower, stored.head.fields.members("vary")):
        return members
    return [member for member in members if member != "accept-encoding"]


def is_news(
    before: StoredResponse, after: StoredResponse, options: Options, rule: Rule | None, now: float
) -> bool:
    """Whether what a validation changed is worth writing down.

    A response that must be validated again at once, with no field new but the time, is validated
    at its next use as it would have been without. Only the stale windows move with the time.
    """
    new_terms = terms(after, options, rule)
    if before.invalid or (not new_terms.validate and now < new_terms.while_revalidating_until):
        return True
    if after.response_time >= is_news_from(before):
        return True
    held, new = before.head.fields, after.head.fields
    changed = held.differing(new) | new.differing(held)
    return before.selecting != after.selecting or not changed <= _SUPERSEDED


def is_news_from(stored: StoredResponse) -> float:
    """The epoch second from which a validation is worth writing down for its time alone."""
    return stored.response_time + _TIMES_ARE_NEWS_AFTER


def whole_may_be_stored(request: Request, head: ResponseHead, options: Options, now: float) -> bool:
    """Whether what the client has, as this 304 to its own precondition says, may be stored here.

    Many an origin leaves out of a 304 the validator that it has just compared.
    """
    fields = head.fields
    if not has_validator(fields):
        named = {"ETag": "if-none-match", "Last-Modified": "if-modified-since"}
        said = ((name, request.fields.get(by)) for name, by in named.items())
        fields = fields.adding(*((name, value) for name, value in said if value is not None))
    verdict = may_store(request, ResponseHead(200, PHRASES[200], fields), now, options)
    return isinstance(verdict, Store) and "range" not in request.fields


def head_update(
    stored: StoredResponse,
    head: ResponseHead,
    request: Request,
    options: Options,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """What a 200 to HEAD makes of a stored response that this HEAD selects (§4.3.5).

    Freshened if nothing says that it is another representation, else invalid.
    """
    if head.status == stored.head.status and _is_same_representation(stored, head.fields):
        return freshened(stored, head, request, options, request_time, response_time)
    return replace(stored, invalid=True)


def updated_fields(held: Fields, new: Fields, options: Options, response_time: float) -> Fields:
    """§3.2: every field of the update replaces the held lines of its name, with few exceptions."""
    merged = _merged(held, new, _NOT_UPDATED_OR_COOKIES)
    if not COOKIES.isdisjoint(new.names()):
        directives = parse_response_directives(merged, options.freshness.targeted)
        if shares_cookies(directives, options):
            merged = _merged(held, new, _NOT_UPDATED)
    return kept_fields(merged, options, response_time)


def _merged(held: Fields, new: Fields, skipped: frozenset[str]) -> Fields:
    """What is equal stays where it is: most updates repeat what is held, but for Date."""
    changed = new.differing(held) - skipped
    if changed == _DATE and "age" not in held and len(dates := new.all("date")) == 1:
        return held.replacing("Date", dates[0])
    if "etag" in changed and _only_strengthens(held, new):
        changed.remove("etag")
    if "vary" in changed and "vary" in held:
        new = new.replacing("Vary", _all_of_vary(held, new))
    gone = changed | _SUPERSEDED.difference(new.names())
    lines = [line for line in held.lines if line[0].lower() not in gone]
    lines += [line for line in new.lines if line[0].lower() in changed]
    return Fields(lines)


def _all_of_vary(held: Fields, new: Fields) -> str:
    """§4.1: what has been selected by a field still is, whatever one update leaves out."""
    members = held.members("vary")
    known = {member.lower() for member in members}
    return ", ".join([*members, *(m for m in new.members("vary") if m.lower() not in known)])


def _only_strengthens(held: Fields, new: Fields) -> bool:
    # The bytes that are held were not promised to be those of the strong tag.
    before, after = entity_tag(held), entity_tag(new)
    return bool(before and after and before.weak and before.matches_weakly(after))


def _is_same_representation(stored: StoredResponse, fields: Fields) -> bool:
    length = stored.length if stored.part is None else stored.part.complete
    if fields.get("content-length") not in {None, str(length)}:
        return False
    held = stored.head.fields
    compared = ("etag", "last-modified", "content-encoding")
    return all(fields.get(name) in {None, held.get(name)} for name in compared)
