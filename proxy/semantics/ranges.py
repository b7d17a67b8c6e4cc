"""Byte ranges (RFC 9110 §14): Range, If-Range and Content-Range, and what a 206 is made of.

A range request is an offer to send less, never a duty: what is malformed, of another unit, or
would cost more than the whole (§17.15) is answered with the whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from proxy.semantics.grammar import list_members
from proxy.semantics.validators import entity_tag, is_strong_last_modified, parse_etag

if TYPE_CHECKING:
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request, ResponseHead

Span = tuple[int, int]  # first and last octet, both included

MOST_RANGES: Final = 16
MOST_OVERLAPS: Final = 2
MOST_UNORDERED: Final = 4

# Of the content of one message (RFC 9530 §2), which is another one for each range; clients check.
OF_CONTENT: Final = frozenset(
    {"content-digest", "content-md5", "x-ms-content-crc64"}
    | {f"x-amz-checksum-{name}" for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")}
)

# No representation has more than 18 digits, but a client may ask beyond the end; int() stays cheap.
_RANGES: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.ASCII)
_INT_RANGE: Final = re.compile(r"([0-9]{1,64})-([0-9]{1,64})?")
_SUFFIX_RANGE: Final = re.compile(r"-([0-9]{1,64})")
_CONTENT_RANGE: Final = re.compile(
    r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Whole:
    """Answer 200: Range is absent, does not apply, or is not worth it."""


@dataclass(frozen=True, slots=True)
class Single:
    """Answer 206 with the octets ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Multiple:
    """Answer 206 with multipart/byteranges, the spans in the order asked for."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer 416, with ``Content-Range: bytes */length`` (``unsatisfied``)."""


Plan = Whole | Single | Multiple | Unsatisfiable

_WHOLE: Final = Whole()
_UNSATISFIABLE: Final = Unsatisfiable()


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Content-Range of a 206 (§14.4); ``complete`` is None for an unknown length (``*``)."""

    first: int
    last: int
    complete: int | None

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{'*' if self.complete is None else self.complete}"


def plan(request: Request, head: ResponseHead, length: int) -> Plan:
    """How much of a representation of ``length`` octets, with that head, the request asks for.

    To be asked after the other preconditions (§13.2.2). ``head`` is that of a 200, or of a stored
    206 with ``length`` its complete length.
    """
    value = request.fields.get("range")
    if value is None or request.method != "GET" or head.status not in {200, 206}:
        return _WHOLE
    spans = parse_range(value, length)
    if spans is None or _is_dearer_than_whole(spans, length) or not _unchanged(request, head):
        return _WHOLE
    if not spans:
        return _UNSATISFIABLE
    return Single(*spans[0]) if len(spans) == 1 else Multiple(spans)


def parse_range(value: str, length: int) -> tuple[Span, ...] | None:
    """The satisfiable spans in the order given; None if there is nothing to obey (§14.1, §14.2).

    That is: another unit, bad syntax, last before first, over ``MOST_RANGES``, or nothing to take
    a range from. Empty if none can be satisfied.
    """
    match = _RANGES.fullmatch(value)
    specs = list_members(match[1]) if match else []
    # An empty representation has no octet to name; 200 says so better than 416.
    if not 0 < len(specs) <= MOST_RANGES or length == 0:
        return None
    spans = []
    for spec in specs:
        if (span := _span(spec, length)) is None:
            return None
        if span[0] < length:
            spans.append(span)
    return tuple(spans)


def parse_content_range(value: str) -> ContentRange | None:
    """Content-Range of a 206, None if invalid, of another unit or unsatisfied (§14.4)."""
    match = _CONTENT_RANGE.fullmatch(value)
    if not match:
        return None
    first, last = int(match[1]), int(match[2])
    complete = None if match[3] == "*" else int(match[3])
    if last < first or (complete is not None and complete <= last):
        return None
    return ContentRange(first, last, complete)


def unsatisfied(length: int) -> str:
    """Content-Range of a 416 (§15.5.17)."""
    return f"bytes */{length}"


def part_head(span: Span, length: int, content_type: str | None, boundary: str) -> bytes:
    """What goes before the octets of one part of a multipart/byteranges (§14.6).

    ``boundary`` must not occur in the octets: random, at most 70 characters (RFC 2046 §5.1.1).
    """
    kind = f"Content-Type: {content_type}\r\n" if content_type is not None else ""
    head = f"\r\n--{boundary}\r\n{kind}Content-Range: {ContentRange(*span, length)}\r\n\r\n"
    return head.encode("latin-1")


def close_delimiter(boundary: str) -> bytes:
    """What goes after the last part (RFC 2046 §5.1.1)."""
    return f"\r\n--{boundary}--\r\n".encode("latin-1")


def _span(spec: str, length: int) -> Span | None:
    """One range-spec, cut to ``length``; unsatisfiable if it starts there or later."""
    if match := _INT_RANGE.fullmatch(spec):
        start, end = match.groups()
        first = int(start)
        last = int(end) if end else max(first, length - 1)
        return None if last < first else (first, min(last, length - 1))
    if match := _SUFFIX_RANGE.fullmatch(spec):
        return max(0, length - int(match[1])), length - 1
    return None


def _is_dearer_than_whole(spans: tuple[Span, ...], length: int) -> bool:
    """§14.2: more octets than there are, more than two overlaps, many out of order."""
    if len(spans) < 2:
        return False
    ordered = sorted(spans)
    reach = accumulate((last for _, last in ordered), max)
    overlaps = sum(first <= end for end, (first, _) in zip(reach, ordered[1:], strict=False))
    total = sum(last - first + 1 for first, last in spans)
    unordered = len(spans) > MOST_UNORDERED and list(spans) != ordered
    return total > length or overlaps > MOST_OVERLAPS or unordered


def _unchanged(request: Request, head: ResponseHead) -> bool:
    """If-Range (§13.1.5): strong comparison only, a date only by an exact match."""
    value = request.fields.get("if-range")
    if value is None:
        return True
    if tag := parse_etag(value):
        held = entity_tag(head.fields)
        return held is not None and held.matches_strongly(tag)
    return _is_that_strong_date(value, head.fields)


def _is_that_strong_date(value: str, held: Fields) -> bool:
    return held.get("last-modified") == value and is_strong_last_modified(held)
