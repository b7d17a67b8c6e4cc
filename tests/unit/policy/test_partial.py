"""Parts: what they answer, lack, and grow into (RFC 9111 §3.3, §3.4)."""

from dataclasses import replace

import pytest

from proxy.policy import partial
from proxy.policy.partial import Missing
from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.messages import Request, ResponseHead
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
        param(get('If-Match: "b"'), True, id="412"),
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
    ("head", "brought"),
    [
        param(more("5-9/10"), True, id="the same octets"),
        param(more("5-8/10"), False, id="fewer"),
        param(more("4-9/10"), False, id="more"),
        param(more("5-9/10", status=200), False, id="not a 206"),
        param(resp(206, "", TAG), False, id="no range"),
    ],
)
def test_what_was_asked_for(head: ResponseHead, brought: bool) -> None:
    gap = partial.missing(part("0-4/10"), Part(0, 4, 10), GET)
    assert gap is not None
    assert gap.is_brought_by(head) is brought
