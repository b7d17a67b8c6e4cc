"""Parts of a stored response, of a fill in flight, and of what the origin sent in parts."""

import pytest

from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import Gate, Origin, head, reply

FRESH = "Cache-Control: max-age=60"
BODY = bytes(range(256)) * 1024
OLD = http_date(-864_000)


async def stored(house: House, origin: Origin) -> str:
    fields = (FRESH, 'ETag: "1"', f"Last-Modified: {OLD}", "Content-Type: image/x")
    origin.serve("/a", reply(200, *fields, body=BODY))
    await house.get(origin.url("/a"))
    return origin.url("/a")


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        pytest.param("bytes=0-0", 0, 0, id="first octet"),
        pytest.param("bytes=100-199", 100, 199, id="middle"),
        pytest.param("bytes=262100-", 262_100, 262_143, id="open end"),
        pytest.param("bytes=-10", 262_134, 262_143, id="suffix"),
        pytest.param("bytes=-999999999", 0, 262_143, id="suffix longer than the body"),
        pytest.param("bytes=262140-999999999999999999999", 262_140, 262_143, id="past the end"),
        pytest.param("BYTES=5-6", 5, 6, id="14.1 unit in any case"),
    ],
)
async def test_a_single_range(
    house: House, origin: Origin, value: str, first: int, last: int
) -> None:
    answer = await house.get(await stored(house, origin), f"Range: {value}")
    assert answer.status == 206
    assert answer.get("content-range") == f"bytes {first}-{last}/{len(BODY)}"
    assert answer.body == BODY[first : last + 1]
    assert answer.get("content-type") == "image/x"
    assert answer.get("etag") == '"1"'
    assert answer.hit
    assert len(origin.requests) == 1


async def test_several_ranges_are_multipart(house: House, origin: Origin) -> None:
    answer = await house.get(await stored(house, origin), "Range: bytes=0-4, 1000-1004,-3")
    assert answer.status == 206
    kind, _, boundary = (answer.get("content-type") or "").partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert answer.get("content-range") is None
    delimiter = b"--" + boundary.strip('"').encode()
    preamble, *parts, end = answer.body.split(delimiter)
    assert preamble.strip() == b""
    assert end.strip() == b"--"
    spans = [(0, 5), (1000, 1005), (len(BODY) - 3, len(BODY))]
    for part, (first, stop) in zip(parts, spans, strict=True):
        lines, _, octets = part.partition(b"\r\n\r\n")
        assert f"bytes {first}-{stop - 1}/{len(BODY)}".encode() in lines
        assert b"image/x" in lines
        assert octets == BODY[first:stop] + b"\r\n"


async def test_a_range_past_the_end_is_416(house: House, origin: Origin) -> None:
    answer = await house.get(await stored(house, origin), "Range: bytes=262144-")
    assert answer.status == 416
    assert answer.get("content-range") == f"bytes */{len(BODY)}"
    assert len(origin.requests) == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Range: octets=0-1", id="14.2 another unit"),
        pytest.param("Range: bytes=5-1", id="14.1.1 invalid"),
        pytest.param("Range: bytes=x", id="14.1.1 no range at all"),
    ],
)
async def test_a_range_that_is_none_is_ignored(house: House, origin: Origin, line: str) -> None:
    answer = await house.get(await stored(house, origin), line)
    assert (answer.status, answer.body == BODY) == (200, True)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param('If-Range: "1"', 206, id="13.1.5 the tag"),
        pytest.param('If-Range: "2"', 200, id="13.1.5 another tag"),
        pytest.param('If-Range: W/"1"', 200, id="13.1.5 weak never"),
        pytest.param(f"If-Range: {OLD}", 206, id="13.1.5 the date"),
        pytest.param(f"If-Range: {http_date(-10)}", 200, id="13.1.5 another date"),
    ],
)
async def test_if_range(house: House, origin: Origin, line: str, status: int) -> None:
    answer = await house.get(await stored(house, origin), "Range: bytes=1-2", line)
    assert answer.status == status
    assert answer.body == (BODY[1:3] if status == 206 else BODY)


async def test_a_condition_is_asked_before_the_range(house: House, origin: Origin) -> None:
    url = await stored(house, origin)
    assert (await house.get(url, "Range: bytes=1-2", 'If-None-Match: "1"')).status == 304


async def test_range_means_nothing_to_head(house: House, origin: Origin) -> None:
    answer = await house.get(await stored(house, origin), "Range: bytes=1-2", method="HEAD")
    assert answer.status == 200


async def test_a_range_of_a_fill_in_flight(house: House, origin: Origin) -> None:
    gate = Gate()
    fields = (FRESH, 'ETag: "1"', "Content-Length: 10")
    origin.serve("/a", head(200, *fields) + b"01234", gate, b"56789")
    leader = await house.open(origin.url("/a"))
    assert await leader.read(5) == b"01234"
    part = await house.get(origin.url("/a"), "Range: bytes=1-3")
    assert (part.status, part.body) == (206, b"123")
    later = await house.open(origin.url("/a"), "Range: bytes=3-6")
    assert await later.read(2) == b"34"
    gate.open()
    assert await later.rest() == b"56"
    assert await leader.rest() == b"56789"
    assert len(origin.requests) == 1


async def test_a_206_is_stored_and_completed(house: House, origin: Origin) -> None:
    tag = 'ETag: "1"'
    origin.serve("/a", reply(206, FRESH, tag, "Content-Range: bytes 0-4/10", body=b"01234"))
    origin.serve("/a", reply(206, FRESH, tag, "Content-Range: bytes 5-9/10", body=b"56789"))
    first = await house.get(origin.url("/a"), "Range: bytes=0-4")
    assert (first.status, first.body) == (206, b"01234")
    inside = await house.get(origin.url("/a"), "Range: bytes=1-2")
    assert (inside.status, inside.body) == (206, b"12")
    assert inside.hit
    whole = await house.get(origin.url("/a"))
    assert (whole.status, whole.body) == (200, b"0123456789")
    assert origin.requests[1].get("range") in ("bytes=5-", "bytes=5-9")
    assert origin.requests[1].get("if-range") == '"1"'
    assert (await house.get(origin.url("/a"))).hit
    assert len(origin.requests) == 2


async def test_two_versions_are_never_joined(house: House, origin: Origin) -> None:
    # RFC 9111 §3.4: only parts with the same strong validator are combined.
    part = "Content-Range: bytes 0-4/10"
    origin.serve("/a", reply(206, FRESH, 'ETag: "1"', part, body=b"01234"))
    origin.serve("/a", reply(200, FRESH, 'ETag: "2"', body=b"abcdefghij"))
    await house.get(origin.url("/a"), "Range: bytes=0-4")
    whole = await house.get(origin.url("/a"))
    assert (whole.status, whole.body) == (200, b"abcdefghij")


async def test_a_206_without_a_strong_validator_is_not_completed(
    house: House, origin: Origin
) -> None:
    part = "Content-Range: bytes 0-4/10"
    origin.serve("/a", reply(206, FRESH, 'ETag: W/"1"', part, body=b"01234"))
    origin.serve("/a", reply(200, FRESH, 'ETag: W/"1"', body=b"0123456789"))
    await house.get(origin.url("/a"), "Range: bytes=0-4")
    assert (await house.get(origin.url("/a"))).body == b"0123456789"
    assert origin.requests[1].get("range") is None


async def test_a_range_on_a_miss_is_forwarded(house: House, origin: Origin) -> None:
    fields = ("Cache-Control: no-store", "Content-Range: bytes 1-2/10")
    origin.serve("/a", reply(206, *fields, body=b"12"))
    answer = await house.get(origin.url("/a"), "Range: bytes=1-2")
    assert (answer.status, answer.body) == (206, b"12")
    assert origin.requests[0].get("range") == "bytes=1-2"
