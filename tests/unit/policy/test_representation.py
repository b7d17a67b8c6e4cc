"""What a client gets of a stored representation: preconditions, ranges, HEAD, parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from proxy.policy import representation
from proxy.policy.representation import Shape, Slice
from proxy.policy.stored import Part, StoredResponse
from proxy.semantics.fields import Fields
from tests.support.build import req
from tests.support.stored import NOW, URL, at, get, stored

BODY = b"0123456789"
WHOLE = (Slice(0, 10),)
HELD = stored(
    "max-age=60", 'ETag: "1"', f"Last-Modified: {at(-1000)}", "Content-Type: text/x", "X: y"
)
PART = replace(HELD, part=Part(4, 7, 10))


def shape(*lines: str, held: StoredResponse = HELD, length: int | None = 10) -> Shape:
    return representation.shape(get(*lines), held, length, NOW)


def value(shaped: Shape, name: str) -> str | None:
    return Fields(shaped.lines).get(name)


@pytest.mark.parametrize(
    ("lines", "status", "pieces"),
    [
        pytest.param([], 200, WHOLE, id="9111-4 nothing asked"),
        pytest.param(['If-None-Match: "1"'], 304, (), id="9110-13.1.2 the client has it"),
        pytest.param(['If-None-Match: "2"'], 200, WHOLE, id="9110-13.1.2 he has another"),
        pytest.param([f"If-Modified-Since: {at(-1000)}"], 304, (), id="9110-13.1.3 unmodified"),
        pytest.param([f"If-Modified-Since: {at(-2000)}"], 200, WHOLE, id="9110-13.1.3 modified"),
        pytest.param(["Range: bytes=2-4"], 206, (Slice(2, 3),), id="9110-14.2 one range"),
        pytest.param(["Range: bytes=-3"], 206, (Slice(7, 3),), id="9110-14.1.2 suffix"),
        pytest.param(["Range: bytes=8-99"], 206, (Slice(8, 2),), id="9110-14.1.2 past the end"),
        pytest.param(["Range: bytes=10-"], 416, (), id="9110-15.5.17 nothing there"),
        pytest.param(["Range: lines=1-2"], 200, WHOLE, id="9110-14.2 another unit"),
        pytest.param(
            ["Range: bytes=2-4", 'If-Range: "2"'], 200, WHOLE, id="9110-13.1.5 another version"
        ),
        pytest.param(
            ["Range: bytes=2-4", 'If-None-Match: "1"'], 304, (), id="9110-13.2.2 304 before 206"
        ),
    ],
)
def test_status_and_pieces(lines: list[str], status: int, pieces: tuple[Slice, ...]) -> None:
    shaped = shape(*lines)
    assert (shaped.status, shaped.pieces) == (status, pieces)


def test_a_304_has_what_guides_caches_and_no_more() -> None:
    # RFC 9110 §15.4.5
    held = stored("max-age=60", 'ETag: "1"', "Content-Length: 10", "Content-Type: a/b", "Vary: x")
    shaped = shape('If-None-Match: "1"', held=held)
    names = [name for name, _ in shaped.lines]
    assert names[:3] == ["Cache-Control", "ETag", "Vary"]
    assert shaped.length is None


def test_a_single_range_says_which() -> None:
    shaped = shape("Range: bytes=2-4")
    assert value(shaped, "content-range") == "bytes 2-4/10"
    assert value(shaped, "content-type") == "text/x"
    assert shaped.length == 3


def test_an_unsatisfied_range_says_how_long_it_is() -> None:
    shaped = shape("Range: bytes=10-")
    assert value(shaped, "content-range") == "bytes */10"
    assert (value(shaped, "content-type"), shaped.length) == (None, 0)


def test_several_ranges_are_multipart() -> None:
    shaped = shape("Range: bytes=0-1,8-9")
    body = representation.cut(shaped.pieces, BODY)
    kind, _, boundary = (value(shaped, "content-type") or "").partition("; boundary=")
    delimiter = f"\r\n--{boundary}"
    expected = (
        f"{delimiter}\r\nContent-Type: text/x\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        f"{delimiter}\r\nContent-Type: text/x\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        f"{delimiter}--\r\n"
    )
    assert (shaped.status, kind, body.decode()) == (206, "multipart/byteranges", expected)
    assert shaped.length == len(body)
    assert value(shaped, "content-range") is None


def test_head_has_the_length_of_a_get_and_no_body() -> None:
    shaped = representation.shape(req(f"HEAD {URL}", "Range: bytes=0-1"), HELD, 10, NOW)
    assert (shaped.status, shaped.pieces, shaped.length) == (200, (), 10)


def test_an_unknown_length_has_no_ranges() -> None:
    shaped = shape("Range: bytes=0-1", length=None)
    assert (shaped.status, shaped.pieces, shaped.length) == (200, (Slice(0, -1),), None)


@pytest.mark.parametrize(
    ("status", "length", "said"),
    [
        pytest.param(200, 0, 0, id="an empty body has a length"),
        pytest.param(204, 0, None, id="9110-8.6 a 204 has none"),
        pytest.param(204, None, None, id="9110-8.6 a 204 that was chunked"),
    ],
)
def test_without_a_body(status: int, length: int | None, said: int | None) -> None:
    shaped = shape(held=stored("max-age=60", status=status), length=length)
    assert (shaped.status, shaped.pieces, shaped.length) == (status, (), said)


@pytest.mark.parametrize(
    ("line", "piece", "said"),
    [
        pytest.param("Range: bytes=4-7", Slice(0, 4), "bytes 4-7/10", id="all that is held"),
        pytest.param("Range: bytes=5-6", Slice(1, 2), "bytes 5-6/10", id="inside"),
    ],
)
def test_a_part_is_cut_from_where_it_begins(line: str, piece: Slice, said: str) -> None:
    # RFC 9111 §3.3
    shaped = shape(line, held=PART, length=4)
    assert (shaped.pieces, value(shaped, "content-range")) == ((piece,), said)


def test_head_of_a_part_has_the_complete_length() -> None:
    assert representation.shape(req(f"HEAD {URL}"), PART, 4, NOW).length == 10


def test_cut_gives_the_very_body_when_all_is_wanted() -> None:
    assert representation.cut(WHOLE, BODY) is BODY


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        pytest.param("X: y", "Fine", id="the origin's own"),
        pytest.param('If-None-Match: "1"', "Not Modified", id="ours for a status of ours"),
    ],
)
def test_phrase(line: str, phrase: str) -> None:
    held = replace(HELD, head=structs.replace(HELD.head, reason="Fine"))
    assert representation.phrase(shape(line, held=held), held) == phrase
