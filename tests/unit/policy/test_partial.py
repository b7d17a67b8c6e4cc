"""Parts: what they answer, lack, and grow into (RFC 9111 §3.3, §3.4)."""

from dataclasses import replace

import pytest

from proxy.policy import partial
from proxy.policy.partial import AHEAD, Missing
from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.messages import Request, ResponseHead
from proxy.semantics.units import Octets, Seconds
from tests.support.build import fields, req, resp
from tests.support.stored import GET, NOW, OPTIONS, URL, at, get, stored

param = pytest.param

OLD = at(-86400)
TAG = 'ETag: "a"'


def part(span: str, *lines: str) -> StoredResponse:
    """``part("2-4/10")``: with a strong tag unless other lines are given."""
    return stored("max-age=60", f"Content-Range: bytes {span}", *(lines or (TAG,)), status=206)


def held(stored_part: StoredResponse) -> Part:
    assert stored_part.part is not None
    return stored_part.part


@pytest.mark.parametrize(
    ("request_", "answered"),
    [
        param(GET, False, id="the whole"),
        param(req(f"HEAD {URL}"), True, id="HEAD"),
        param(get('If-None-Match: "a"'), True, id="304"),
        param(get("Range: bytes=2-4"), True, id="all of it"),
        param(get("Range: bytes=1-4"), False, id="one before"),
        param(get("Range: bytes=2-5"), False, id="one behind"),
        param(get("Range: bytes=2-2,4-4"), True, id="several"),
        param(get("Range: bytes=2-2,6-6"), False, id="several, one outside"),
        param(get("Range: bytes=10-"), True, id="416"),
        param(get("Range: bytes=2-4", 'If-Range: "a"'), True, id="If-Range, this version"),
        param(get("Range: bytes=2-4", 'If-Range: "b"'), False, id="If-Range, another"),
    ],
)
def test_answers(request_: Request, answered: bool) -> None:
    stored_part = part("2-4/10")
    assert partial.answers(stored_part, held(stored_part), request_, NOW) is answered


@pytest.mark.parametrize(
    ("span", "asked", "gap"),
    [
        param("0-4/10", None, (5, 9, "5-"), id="whole: the end"),
        param("5-9/10", None, (0, 4, "0-4"), id="whole: the beginning"),
        param("2-4/10", None, None, id="whole: both sides"),
        param("2-4/10", "3-7", (5, 7, "5-7"), id="overlaps the end"),
        param("2-4/10", "5-7", (5, 7, "5-7"), id="follows"),
        param("2-4/10", "3-", (5, 9, "5-"), id="to the end"),
        param("2-4/10", "0-3", (0, 1, "0-1"), id="overlaps the beginning"),
        param("2-4/10", "0-1", (0, 1, "0-1"), id="precedes"),
        param("2-4/10", "6-7", None, id="a hole behind"),
        param("2-4/10", "0-0", None, id="a hole before"),
        param("2-4/10", "0-9", None, id="on both sides"),
        param("2-4/10", "0-0,9-9", None, id="several"),
    ],
)
def test_missing(span: str, asked: str | None, gap: tuple[int, int, str] | None) -> None:
    stored_part = part(span)
    request = GET if asked is None else get(f"Range: bytes={asked}")
    expected = None
    if gap is not None:
        wanted = fields(f"Range: bytes={gap[2]}", 'If-Range: "a"')
        expected = Missing(gap[0], gap[1], wanted)
    assert partial.missing(stored_part, held(stored_part), request) == expected


def test_missing_is_guarded_by_a_strong_date_or_not_asked_for() -> None:
    dated = part("0-4/10", f"Last-Modified: {OLD}")
    gap = partial.missing(dated, held(dated), GET)
    assert gap is not None
    assert gap.fields.get("if-range") == OLD
    weak = part("0-4/10", 'ETag: W/"a"')
    assert partial.missing(weak, held(weak), GET) is None


def more(span: str, *lines: str, status: int = 206) -> ResponseHead:
    return resp(status, "max-age=90", f"Content-Range: bytes {span}", *(lines or (TAG,)))


@pytest.mark.parametrize(
    ("before", "head", "after"),
    [
        param(part("0-4/10"), more("5-9/10"), None, id="3.4 complete"),
        param(part("5-9/10"), more("0-4/10"), None, id="3.4 complete, backwards"),
        param(part("2-4/10"), more("5-6/10"), Part(2, 6, 10), id="3.4 adjacent"),
        param(part("2-4/10"), more("0-1/10"), Part(0, 4, 10), id="3.4 adjacent before"),
        param(part("0-4/10", f"Last-Modified: {OLD}"),
              more("5-6/10", f"Last-Modified: {OLD}", f"Date: {at(0)}"), Part(0, 6, 10),
              id="3.4 strong date"),
    ],
)  # fmt: skip
def test_combine(before: StoredResponse, head: ResponseHead, after: Part | None) -> None:
    joined = partial.combine(before, head, OPTIONS, "2", NOW + 9, NOW + 10)
    assert joined is not None
    assert (joined.part, joined.id, joined.head.status) == (after, "2", 200)
    assert (joined.request_time, joined.response_time) == (NOW + 9, NOW + 10)
    assert joined.head.fields.get("cache-control") == "max-age=90"
    assert "content-range" not in joined.head.fields


@pytest.mark.parametrize(
    ("before", "head"),
    [
        param(stored("max-age=60", TAG), more("0-4/10"), id="nothing is missing"),
        param(part("0-4/10"), more("5-9/10", status=200), id="not a 206"),
        param(part("0-4/10"), resp(206, "", TAG), id="no range"),
        param(part("0-4/10"), more("5-9/11"), id="another length"),
        param(part("0-4/10"), more("5-9/*"), id="an unknown length"),
        param(part("0-4/10"), more("6-9/10"), id="a hole behind"),
        param(part("5-9/10"), more("0-3/10"), id="a hole before"),
        param(part("0-4/10"), more("4-9/10"), id="an overlap behind"),
        param(part("5-9/10"), more("0-5/10"), id="an overlap before"),
        param(part("0-4/10"), more("5-9/10", 'ETag: "b"'), id="another version"),
        param(part("0-4/10"), more("5-9/10", 'ETag: W/"a"'), id="a weak tag"),
        param(part("0-4/10", 'ETag: W/"a"'), more("5-9/10", 'ETag: W/"a"'), id="two weak tags"),
    ],
)
def test_what_is_never_joined(before: StoredResponse, head: ResponseHead) -> None:
    assert partial.combine(before, head, OPTIONS, "2", NOW, NOW) is None


def test_joining_validates() -> None:
    was = replace(part("0-4/10"), invalid=True)
    joined = partial.combine(was, more("5-9/10"), OPTIONS, "2", NOW, NOW)
    assert joined is not None
    assert not joined.invalid


@pytest.mark.parametrize(
    ("asked", "length", "ahead"),
    [
        param(None, 2**30, False, id="no range"),
        param("0-9", 2**30, False, id="behind"),
        param("2000000-2000009", 2**30, False, id="near"),
        param(f"{10**6 + AHEAD}-", 2**30, False, id="as near as it may be"),
        param(f"{10**6 + AHEAD + 1}-", 2**30, True, id="far ahead"),
        param("-500", 2**30, True, id="the end"),
        param("-500", 2 * 10**6, False, id="the end, near"),
        param("0-", 2**30, False, id="all of it"),
        param("9-1", 2**30, False, id="no range after all"),
        param(f"{2**30}-", 2**30, False, id="416"),
        param("0-9", None, True, id="of an unknown length"),
        param("0-", None, False, id="all of an unknown length"),
    ],
)
def test_is_ahead(asked: str | None, length: int | None, ahead: bool) -> None:
    request = get(f"Range: bytes={asked}") if asked else GET
    whole = stored("max-age=60", TAG)
    assert partial.is_ahead(request, whole, length, 10**6) is ahead


def test_if_range_of_another_version_is_not_ahead() -> None:
    request = get("Range: bytes=99999999-", 'If-Range: "b"')
    assert not partial.is_ahead(request, stored("max-age=60", TAG), 2**30, 0)


@pytest.mark.parametrize(
    ("lines", "everything"),
    [
        param(["Range: bytes=0-"], True, id="from the first octet to the last"),
        param(["Range: Bytes=0-"], True, id="9110-14.1 the unit in any case"),
        param(["Range: bytes=0-99"], False, id="to some octet"),
        param(["Range: bytes=1-"], False, id="from another"),
        param(["Range: bytes=0-", 'If-Range: "a"'], False, id="of that version"),
        param([], False, id="no range"),
    ],
)
def test_is_for_all(lines: list[str], everything: bool) -> None:
    assert partial.is_for_all(get(*lines)) is everything


MIB = 2**20
INF = float("inf")


@pytest.mark.parametrize(
    ("finish", "received", "length", "limit"),
    [
        param(Octets(4 * MIB), 96 * MIB, 100 * MIB, INF, id="as little as that"),
        param(Octets(MIB), 90 * MIB, 100 * MIB, INF, id="a tenth, if that is more"),
        param(Octets(4 * MIB), 90 * MIB - 1, 100 * MIB, 90 * MIB - 1, id="too much"),
        param(Octets(4 * MIB), 0, 4 * MIB, INF, id="all of a small one"),
        param(Octets(4 * MIB), 5, None, 5 + 4 * MIB, id="an unknown length: so much more"),
        param(Octets(0), 9, 10, 9, id="nothing at all"),
        param(Octets(0), 10, 10, INF, id="nothing at all, but its end"),
        param(Octets(0), 9, None, 9, id="nothing of an unknown length"),
        param(Seconds(600.0), 0, 100 * MIB, INF, id="by time alone"),
        param(Seconds(0.0), 0, None, INF, id="by time alone, which is none"),
    ],
)
def test_how_far_it_goes_on(
    finish: partial.Finish, received: int, length: int | None, limit: float
) -> None:
    assert partial.goes_on_to(finish, received, length) == limit


@pytest.mark.parametrize(
    ("finish", "received", "length", "seconds"),
    [
        param(Octets(4 * MIB), 0, 1000, 30.0, id="a small one"),
        param(Octets(4 * MIB), 96 * MIB, 100 * MIB, 64.0, id="64 KiB a second"),
        param(Octets(4 * MIB), 5, None, 64.0, id="an unknown length"),
        param(Octets(0), 2**33, 2**33 + 2**29, 600.0, id="the longest"),
        param(Seconds(5.0), 0, 100 * MIB, 5.0, id="by time alone"),
    ],
)
def test_how_long_it_goes_on(
    finish: partial.Finish, received: int, length: int | None, seconds: float
) -> None:
    assert partial.goes_on_for(finish, received, length) == seconds
