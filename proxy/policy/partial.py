"""Incomplete responses (RFC 9111 §3.3, §3.4): what they answer, lack, and grow into.

A part is one run of octets of a representation with a strong validator; whatever is joined to it
carries the same one, so that two versions never meet in one body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from msgspec import structs

from proxy.policy.revalidation import updated_fields
from proxy.policy.stored import Part
from proxy.semantics.fields import Fields
from proxy.semantics.preconditions import Proceed, evaluate
from proxy.semantics.ranges import (
    Multiple,
    Single,
    Unsatisfiable,
    Whole,
    parse_content_range,
    plan,
)
from proxy.semantics.units import Octets, Seconds
from proxy.semantics.validators import strong_validator

if TYPE_CHECKING:
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request, ResponseHead

Finish = Octets | Seconds  # what may be missing, or how long it may take, when nobody reads it

NO_LIMIT: Final = float("inf")
LONGEST: Final = Seconds(600.0)  # for which anything goes on arriving that nobody reads
_SHORTEST: Final = 30.0  # and by size, if it has to be as slow as this:
_SLOWEST: Final = 64 * 2**10  # octets in a second
# Octets that a line of 10 Mbit/s brings in a second: asking for them would not be sooner by much.
AHEAD: Final = 2**20


@dataclass(frozen=True, slots=True)
class Missing:
    """The octets ``first``..``last`` that a part lacks, and the fields to ask for them with.

    ``fields`` (Range, If-Range) go in place of the client's Range, If-Range and preconditions.
    """

    first: int
    last: int
    fields: Fields


def answers(stored: StoredResponse, part: Part, request: Request, now: float) -> bool:
    """Whether the octets of ``part`` are all that the request needs; HEAD and 304 need none."""
    if request.method == "HEAD" or not isinstance(evaluate(request, stored.head, now), Proceed):
        return True
    planned = plan(request, stored.head, part.complete)
    if isinstance(planned, Whole | Unsatisfiable):
        return isinstance(planned, Unsatisfiable)
    spans = planned.spans if isinstance(planned, Multiple) else ((planned.first, planned.last),)
    return all(part.first <= first and last <= part.last for first, last in spans)


def is_ahead(request: Request, stored: StoredResponse, length: int | None, received: int) -> bool:
    """Whether the origin has the range sooner than a whole response that is on its way.

    So it is where the range begins far beyond what has been ``received``, and where nothing can be
    cut because the length is unknown; but for the range that is all of it.
    """
    if "range" not in request.fields or is_for_all(request):
        return False
    if length is None:
        return True
    planned = plan(request, stored.head, length)
    return isinstance(planned, Single) and planned.first > received + AHEAD


def is_for_all(request: Request) -> bool:
    """Whether it asks for all there is by a range, as many clients do to learn if they may."""
    fields = request.fields
    return (fields.get("range") or "").lower() == "bytes=0-" and "if-range" not in fields


def goes_on_to(finish: Finish, received: int, length: int | None) -> float:
    """Up to how many octets a response goes on arriving whose last client leaves now.

    By time alone without a limit; by size if as much as that, or a tenth of the length, is missing,
    and for an unknown length until so much more has come.
    """
    if isinstance(finish, float):
        return NO_LIMIT
    if length is None:
        return received + finish
    little = max(finish, length // 10) if finish else 0
    return NO_LIMIT if length - received <= little else received


def goes_on_for(finish: Finish, received: int, length: int | None) -> Seconds:
    """How long that may take: who begins many and leaves is not to have them all kept open."""
    if isinstance(finish, float):
        return finish
    little = finish if length is None else length - received
    return Seconds(min(max(_SHORTEST, little / _SLOWEST), LONGEST))


def missing(stored: StoredResponse, part: Part, request: Request) -> Missing | None:
    """What to fetch so that the request can be answered from one run of octets.

    None if that is not one range next to the part: then the request is better forwarded as it is.
    """
    match plan(request, stored.head, part.complete):
        case Whole():
            first, last = 0, part.complete - 1
        case Single(first, last):
            pass
        case _:
            return None
    if first < part.first:
        gap = (first, part.first - 1) if part.first - 1 <= last <= part.last else None
    else:
        gap = (part.last + 1, last) if first <= part.last + 1 else None
    validator = strong_validator(stored.head.fields)
    if gap is None or validator is None:
        return None
    end = "" if gap[1] == part.complete - 1 else str(gap[1])
    asked = Fields([("Range", f"bytes={gap[0]}-{end}"), ("If-Range", validator)])
    return Missing(*gap, asked)


def combine(
    stored: StoredResponse,
    head: ResponseHead,
    options: Options,
    body_id: str,
    request_time: float,
    response_time: float,
) -> StoredResponse | None:
    """The stored part and the 206 ``head`` as one (§3.4), under the name of the joined bytes.

    Without ``part`` when nothing is missing any more. None if one run of octets cannot simply
    follow the other, or must not: another version, no strong validator, a hole, an overlap (we
    never ask for what we hold). Length and checksum are open.
    """
    part = stored.part
    new = parse_content_range(head.fields.get("content-range") or "")
    if part is None or new is None or head.status != 206 or new.complete != part.complete:
        return None
    validator = strong_validator(stored.head.fields)
    if validator is None or validator != strong_validator(head.fields):
        return None
    if new.first != part.last + 1 and new.last != part.first - 1:
        return None
    first, last = min(part.first, new.first), max(part.last, new.last)
    whole = last - first + 1 == part.complete
    fields = updated_fields(stored.head.fields, head.fields, options, response_time)
    return replace(
        stored,
        id=body_id,
        head=structs.replace(stored.head, fields=fields),
        request_time=request_time,
        response_time=response_time,
        length=0,
        checksum=b"",
        invalid=False,
        part=None if whole else Part(first, last, part.complete),
    )
