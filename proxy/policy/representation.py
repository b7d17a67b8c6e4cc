"""What a request gets of a stored representation.

The client's preconditions (RFC 9110 §13), its Range (§14) and HEAD are applied here, the same way
for bodies in memory, on disk and in flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.semantics import preconditions, ranges
from proxy.semantics.messages import PHRASES, ResponseHead

if TYPE_CHECKING:
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields, Line
    from proxy.semantics.messages import Request

# RFC 9110 §15.4.5: a 304 carries what guides cache updates, not what describes a body it has not.
_NOT_IN_304: Final = frozenset(
    {"content-length", "content-type", "content-encoding", "content-language", "content-range"}
)
_FRAMED: Final = frozenset({"content-length", "content-range"})
_CUT: Final = _FRAMED | ranges.OF_CONTENT
_PART: Final = _CUT | {"content-type"}


class Slice(Struct, frozen=True, gc=False):
    """``length`` octets of the stored body from ``offset``."""

    offset: int
    length: int


Piece = bytes | Slice


class Shape(Struct, frozen=True, gc=False):
    """The answer but for Age and Cache-Status. ``pieces`` make up the body, empty for none.

    ``length`` is what Content-Length says (None: unknown, or a 304 which has none); for HEAD it
    is that of the body a GET would have.
    """

    status: int
    lines: tuple[Line, ...]
    pieces: tuple[Piece, ...]
    length: int | None


def shape(request: Request, stored: StoredResponse, length: int | None, now: float) -> Shape:
    """What this request gets of a stored representation; ``length`` None: not known yet."""
    head = stored.head
    if isinstance(preconditions.evaluate(request, head, now), preconditions.NotModified):
        return Shape(304, head.fields.without(_NOT_IN_304).lines, (), None)
    complete = stored.part.complete if stored.part is not None else length
    if complete is None:
        return _whole(request, head.status, head.fields, None)
    first = stored.part.first if stored.part is not None else 0
    match ranges.plan(request, head, complete):
        case ranges.Single(start, last):
            return _single(head.fields, start, last, complete, first)
        case ranges.Multiple(parts):
            return _multiple(head.fields, parts, complete, first)
        case ranges.Unsatisfiable():
            line = ("Content-Range", ranges.unsatisfied(complete))
            return Shape(416, (*head.fields.without(_PART).lines, line), (), 0)
        case ranges.Whole():
            return _whole(request, head.status, head.fields, complete)


def not_modified(request: Request, head: ResponseHead, now: float) -> ResponseHead | None:
    """The 304 that a response comes to for a client that has it; None: the response itself."""
    if not isinstance(preconditions.evaluate(request, head, now), preconditions.NotModified):
        return None
    return ResponseHead(304, PHRASES[304], head.fields.without(_NOT_IN_304))


def _whole(request: Request, status: int, fields: Fields, length: int | None) -> Shape:
    if status == 204:
        # RFC 9110 §8.6: no Content-Length in a 204.
        return Shape(status, fields.without(_FRAMED).lines, (), None)
    pieces = () if request.method == "HEAD" or length == 0 else (Slice(0, length or -1),)
    return Shape(status, fields.without(_FRAMED).lines, pieces, length)


def _single(fields: Fields, start: int, last: int, complete: int, first: int) -> Shape:
    said, size = f"bytes {start}-{last}/{complete}", last - start + 1
    # Of all of it, or of what came as this very part, what they say is true.
    changed = _FRAMED if size == complete or fields.get("content-range") == said else _CUT
    lines = (*fields.without(changed).lines, ("Content-Range", said))
    return Shape(206, lines, (Slice(start - first, size),), size)


def _multiple(
    fields: Fields, parts: tuple[tuple[int, int], ...], complete: int, first: int
) -> Shape:
    """RFC 9110 §14.6: multipart/byteranges, each part with its own Content-Type and range."""
    boundary = f"forecache-{hash((parts, complete, fields.lines)) & 0xFFFFFFFFFFFFFFFF:016x}"
    kind = fields.get("content-type")
    pieces: list[Piece] = []
    for span in parts:
        start, last = span
        pieces.append(ranges.part_head(span, complete, kind, boundary))
        pieces.append(Slice(start - first, last - start + 1))
    pieces.append(ranges.close_delimiter(boundary))
    line = ("Content-Type", f"multipart/byteranges; boundary={boundary}")
    return Shape(206, (*fields.without(_PART).lines, line), tuple(pieces), _total(pieces))


def _total(pieces: list[Piece]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)


def cut(pieces: tuple[Piece, ...], body: bytes) -> bytes:
    """The pieces put together from a body at hand."""
    if len(pieces) == 1 and pieces[0] == Slice(0, len(body)):
        return body
    return b"".join(
        piece if isinstance(piece, bytes) else body[piece.offset : piece.offset + piece.length]
        for piece in pieces
    )


def phrase(shaped: Shape, stored: StoredResponse) -> str:
    """The reason phrase: the origin's own where its status is kept."""
    if shaped.status == stored.head.status:
        return stored.head.reason
    return PHRASES[shaped.status]
