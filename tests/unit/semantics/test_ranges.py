"""Byte ranges: what a Range asks for, and when it is not obeyed."""

import pytest

from proxy.semantics.ranges import (
    ContentRange,
    Multiple,
    Plan,
    Single,
    Unsatisfiable,
    Whole,
    close_delimiter,
    parse_content_range,
    parse_range,
    part_head,
    plan,
    unsatisfied,
)
from tests.support.build import req, resp

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
WHOLE, UNSATISFIABLE = Whole(), Unsatisfiable()


def one_by_one(count: int) -> str:
    return "bytes=" + ",".join(f"{n}-{n}" for n in range(count))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-3", Single(0, 3), id="14.1.2 first and last"),
        pytest.param("bytes=4-4", Single(4, 4), id="14.1.2 one octet"),
        pytest.param("bytes=4-", Single(4, 9), id="14.1.2 to the end"),
        pytest.param("bytes=4-99", Single(4, 9), id="14.1.2 cut to the length"),
        pytest.param("bytes=-3", Single(7, 9), id="14.1.2 suffix"),
        pytest.param("bytes=-99", Single(0, 9), id="14.1.2 suffix longer than everything"),
        pytest.param("BYTES=0-3", Single(0, 3), id="14.1 unit in any case"),
        pytest.param("bytes=, 0-3 ,", Single(0, 3), id="5.6.1.2 empty members"),
        pytest.param("bytes=0-1, 4-5", Multiple(((0, 1), (4, 5))), id="14.2 several"),
        pytest.param("bytes=4-5,0-1", Multiple(((4, 5), (0, 1))), id="14.2 in the order asked for"),
        pytest.param("bytes=0-1,99-", Single(0, 1), id="15.3.7.2 only one can be satisfied"),
        pytest.param("bytes=10-", UNSATISFIABLE, id="14.1.2 starts after the end"),
        pytest.param("bytes=10-12", UNSATISFIABLE, id="14.1.2 both after the end"),
        pytest.param("bytes=-0", UNSATISFIABLE, id="14.1.2 suffix of nothing"),
        pytest.param("bytes=10-,-0,20-30", UNSATISFIABLE, id="14.1.2 none of several"),
        pytest.param("bytes=3-1", WHOLE, id="14.1.1 last before first"),
        pytest.param("bytes=0-1,3-1", WHOLE, id="14.2 one of several invalid"),
        pytest.param("bytes=30-20", WHOLE, id="14.1.1 last before first, after the end"),
        pytest.param("items=0-3", WHOLE, id="14.2 another unit"),
        pytest.param("bytes", WHOLE, id="14.2 no set"),
        pytest.param("bytes=", WHOLE, id="14.2 empty set"),
        pytest.param("bytes=-", WHOLE, id="14.1.2 neither first nor last"),
        pytest.param("bytes=a-b", WHOLE, id="14.1.2 no digits"),
        pytest.param("bytes=0-3;x", WHOLE, id="14.1.2 junk"),
        pytest.param("bytes =0-3", WHOLE, id="14.2 space before ="),
        pytest.param("bytes=0 - 3", WHOLE, id="14.1.2 spaces inside"),
        pytest.param("bytes=+0-3", WHOLE, id="14.1.2 sign"),
        pytest.param("bytes=--3", WHOLE, id="14.1.2 two dashes"),
        pytest.param("bytes=\u0660-3", WHOLE, id="14.1.2 other digits"),
        pytest.param('bytes="0-3"', WHOLE, id="14.1.2 quotes"),
        pytest.param("bytes=" + "9" * 5000 + "-", WHOLE, id="more digits than any length has"),
        pytest.param("bytes=0-3\n", WHOLE, id="line end"),
        pytest.param("bytes=0-4,5-9", Multiple(((0, 4), (5, 9))), id="14.2 everything, in parts"),
        pytest.param("bytes=0-9,0-0", WHOLE, id="17.15 more octets than there are"),
    ],
)
def test_plan(value: str, expected: Plan) -> None:
    assert plan(req("GET http://a.example/", f"Range:{value}"), resp(200), 10) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            one_by_one(16), Multiple(tuple((n, n) for n in range(16))), id="14.2 16 ranges"
        ),
        pytest.param(one_by_one(17), WHOLE, id="17.15 17 ranges"),
        pytest.param(
            "bytes=0-2,1-2,2-2", Multiple(((0, 2), (1, 2), (2, 2))), id="14.2 two overlaps"
        ),
        pytest.param("bytes=0-3,1-1,2-2,3-3", WHOLE, id="17.15 three overlaps, one range over all"),
        pytest.param(
            "bytes=8-8,6-6,4-4,2-2", Multiple(((8, 8), (6, 6), (4, 4), (2, 2))), id="14.2 four"
        ),
        pytest.param("bytes=8-8,6-6,4-4,2-2,0-0", WHOLE, id="17.15 five out of order"),
    ],
)
def test_many_ranges(value: str, expected: Plan) -> None:
    assert plan(req("GET http://a.example/", f"Range: {value}"), resp(200), 100) == expected


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        pytest.param("GET", 200, Single(0, 3), id="14.2 GET and 200"),
        pytest.param("GET", 206, Single(0, 3), id="9111-3.3 incomplete stored response"),
        pytest.param("GET", 404, WHOLE, id="14.2 another status"),
        pytest.param("HEAD", 200, WHOLE, id="14.2 HEAD"),
        pytest.param("PROPFIND", 200, WHOLE, id="14.2 another method"),
    ],
)
def test_where_range_applies(method: str, status: int, expected: Plan) -> None:
    request = req(f"{method} http://a.example/", "Range: bytes=0-3")
    assert plan(request, resp(status), 10) == expected


def test_without_range() -> None:
    assert plan(req("GET http://a.example/"), resp(200), 10) == WHOLE


def test_two_range_lines_are_no_range() -> None:
    request = req("GET http://a.example/", "Range: bytes=0-1", "Range: bytes=4-5")
    assert plan(request, resp(200), 10) == WHOLE


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=-5", "bytes=0-0"])
def test_an_empty_representation_has_no_ranges(value: str) -> None:
    assert plan(req("GET http://a.example/", f"Range: {value}"), resp(200), 0) == WHOLE


STRONG = ("", f"Last-Modified: {MODIFIED}", "Date: Sun, 06 Nov 1994 08:49:38 GMT")
FRESHLY = ("", f"Last-Modified: {MODIFIED}", f"Date: {MODIFIED}")


@pytest.mark.parametrize(
    ("value", "held", "obeyed"),
    [
        pytest.param('"a"', ("", 'ETag: "a"'), True, id="13.1.5 the same tag"),
        pytest.param('"b"', ("", 'ETag: "a"'), False, id="13.1.5 another tag"),
        pytest.param('W/"a"', ("", 'ETag: W/"a"'), False, id="13.1.5 strong comparison, both weak"),
        pytest.param('"a"', ("", 'ETag: W/"a"'), False, id="13.1.5 strong comparison, ours weak"),
        pytest.param('"a"', ("",), False, id="13.1.5 no tag held"),
        pytest.param('"a", "b"', ("", 'ETag: "a"'), False, id="13.1.5 a list"),
        pytest.param("*", ("", 'ETag: "a"'), False, id="13.1.5 asterisk"),
        pytest.param("a", ("", "ETag: a"), False, id="13.1.5 unquoted"),
        pytest.param(MODIFIED, STRONG, True, id="13.1.5 strong date"),
        pytest.param(MODIFIED, FRESHLY, False, id="13.1.5 weak date"),
        pytest.param("Sun, 06 Nov 1994 08:49:38 GMT", STRONG, False, id="13.1.5 a later date"),
        pytest.param(
            "Sunday, 06-Nov-94 08:49:37 GMT", STRONG, False, id="13.1.5 not the exact text"
        ),
        pytest.param(MODIFIED, ("",), False, id="13.1.5 no date held"),
    ],
)
def test_if_range(value: str, held: tuple[str, ...], *, obeyed: bool) -> None:
    request = req("GET http://a.example/", "Range: bytes=0-3", f"If-Range: {value}")
    assert plan(request, resp(200, *held), 10) == (Single(0, 3) if obeyed else WHOLE)


def test_if_range_beats_unsatisfiable() -> None:
    request = req("GET http://a.example/", "Range: bytes=10-", 'If-Range: "old"')
    assert plan(request, resp(200, "", 'ETag: "new"'), 10) == WHOLE


def test_parse_range_keeps_order_and_drops_what_cannot_be_satisfied() -> None:
    assert parse_range("bytes=5-6, 20-, -2, 0-0", 10) == ((5, 6), (8, 9), (0, 0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes 0-4/10", ContentRange(0, 4, 10), id="14.4 complete"),
        pytest.param("bytes 9-9/10", ContentRange(9, 9, 10), id="14.4 last octet"),
        pytest.param("bytes 0-4/*", ContentRange(0, 4, None), id="14.4 unknown length"),
        pytest.param("Bytes 0-4/10", ContentRange(0, 4, 10), id="14.1 unit in any case"),
        pytest.param("bytes */10", None, id="14.4 unsatisfied"),
        pytest.param("bytes 4-0/10", None, id="14.4 last before first"),
        pytest.param("bytes 0-10/10", None, id="14.4 last after the end"),
        pytest.param("items 0-4/10", None, id="14.4 another unit"),
        pytest.param("bytes 0-4", None, id="14.4 no length"),
        pytest.param("bytes=0-4/10", None, id="14.4 equals sign"),
        pytest.param("bytes 0-4/10, bytes 0-4/10", None, id="14.4 two lines"),
        pytest.param("bytes 0-4/" + "9" * 5000, None, id="14.4 more digits than any length has"),
        pytest.param("", None, id="14.4 empty"),
    ],
)
def test_content_range(value: str, expected: ContentRange | None) -> None:
    assert parse_content_range(value) == expected
    if expected is not None:
        assert str(expected) == value.lower()


def test_unsatisfied() -> None:
    assert unsatisfied(10) == "bytes */10"


def test_multipart() -> None:
    head = part_head((0, 4), 10, "text/plain", "xyz")
    bare = part_head((5, 9), 10, None, "xyz")
    assert head + b"abcde" + bare + b"fghij" + close_delimiter("xyz") == (
        b"\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-4/10\r\n\r\nabcde"
        b"\r\n--xyz\r\nContent-Range: bytes 5-9/10\r\n\r\nfghij"
        b"\r\n--xyz--\r\n"
    )
