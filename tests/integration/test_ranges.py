"""Parts of a stored response, of a fill in flight, and of what the origin sent in parts."""

import asyncio

import pytest

from tests.support.clock import http_date
from tests.support.house import House
from tests.support.origin import (
    AWAIT_CLOSE,
    Conversation,
    Gate,
    Origin,
    Stream,
    block,
    head,
    reply,
)
from tests.support.wire import Response

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


OF_CONTENT = ["Content-Digest: sha-256=:x:", "Content-MD5: x", "x-amz-checksum-crc32: x"]


@pytest.mark.parametrize("field", OF_CONTENT)
async def test_what_is_said_of_the_whole_is_not_said_of_a_part(
    house: House, origin: Origin, field: str
) -> None:
    # RFC 9530 §2; clients of object stores compare it with what they get.
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', "Repr-Digest: x", field, body=BODY))
    name, kept = field.partition(":")[0], []
    for asked in ((), ("Range: bytes=0-",), ("Range: bytes=5-9",), ("Range: bytes=5-9,20-29",)):
        got = await house.get(origin.url("/a"), *asked)
        assert got.get("repr-digest") == "x"
        kept.append(got.get(name) is not None)
    assert kept == [True, True, False, False]


@pytest.mark.parametrize("field", OF_CONTENT)
async def test_what_is_said_of_a_part_is_not_said_of_another(
    house: House, origin: Origin, field: str
) -> None:
    first, rest = (f"Content-Range: bytes {span}/10" for span in ("0-4", "5-9"))
    origin.serve("/a", reply(206, FRESH, 'ETag: "1"', field, first, body=b"01234"))
    origin.serve("/a", reply(206, FRESH, 'ETag: "1"', field, rest, body=b"56789"))
    said = []
    for asked in (("Range: bytes=0-4",), ("Range: bytes=1-2",), (), ()):
        said += (await house.get(origin.url("/a"), *asked)).all(field.partition(":")[0])
    assert len(said) == 1
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


@pytest.mark.parametrize(
    "follower",
    [
        pytest.param((), id="a plain GET"),
        pytest.param(("Range: bytes=0-",), id="everything by a range"),
    ],
)
async def test_everything_by_a_range_is_a_fill_that_others_join(
    house: House, origin: Origin, follower: tuple[str, ...]
) -> None:
    before, gate = Gate(), Gate()
    fields = (FRESH, "Content-Range: bytes 0-9/10", "Content-Length: 10")
    origin.serve("/a", before, head(206, *fields) + b"01234", gate, b"56789")
    leader = await house.open(origin.url("/a"), "Range: bytes=0-")
    await before.reached()
    early = await house.open(origin.url("/a"), *follower)
    assert (await house.get("/healthz")).status == 200
    before.open()
    assert await leader.read(5) == b"01234" == await early.read(5)
    late = await house.open(origin.url("/a"), *follower)
    inside = await house.get(origin.url("/a"), "Range: bytes=1-3")
    assert (inside.status, inside.body) == (206, b"123")
    gate.open()
    assert (await leader.head()).status == 206
    assert (await leader.head()).get("content-range") == "bytes 0-9/10"
    assert (await late.head()).status == (206 if follower else 200)
    assert [await leader.rest(), await early.rest()] == [b"56789"] * 2
    assert await late.rest() == b"0123456789"
    assert [received.get("range") for received in origin.requests] == ["bytes=0-"]
    again = await house.get(origin.url("/a"))
    assert (again.status, again.hit, again.body) == (200, True, b"0123456789")


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=2-3"])
async def test_an_origin_that_ignores_a_range_is_passed_on(
    house: House, origin: Origin, value: str
) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"0123456789"))
    answer = await house.get(origin.url("/a"), f"Range: {value}")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert (await house.get(origin.url("/a"))).hit


LARGE = 16 * 2**20


async def of_large(conversation: Conversation) -> None:
    """The part that was asked for, at once."""
    _, _, span = (conversation.received.get("range") or "").partition("bytes=")
    first, last = map(int, span.split("-"))
    line = f"Content-Range: bytes {first}-{last}/{LARGE}"
    conversation.writer.write(head(206, FRESH, 'ETag: "1"', line, "Content-Length: 65536"))
    conversation.writer.write(block(first))
    await conversation.writer.drain()


async def test_ranges_of_a_fill_in_flight_are_not_one_queue(house: House, origin: Origin) -> None:
    gate, step = Gate(), LARGE // 16
    fields = (FRESH, 'ETag: "1"', f"Content-Length: {LARGE}")
    origin.serve("/a", head(200, *fields), Stream(step), gate, Stream(LARGE - step))
    origin.serve("/a", of_large)
    leader = await house.open(origin.url("/a"))
    await leader.read(step)

    async def segment(first: int) -> Response:
        return await house.get(origin.url("/a"), f"Range: bytes={first}-{first + 65535}")

    behind, *ahead = await asyncio.gather(*(segment(n * step) for n in (0, *range(3, 16))))
    assert (behind.status, behind.body, behind.hit) == (206, block(0), True)
    for number, answer in enumerate(ahead, 3):
        assert (answer.status, answer.body) == (206, block(number * step))
        assert answer.cache_status["detail"] == "not-stored-under-way"
    near = await house.open(origin.url("/a"), f"Range: bytes={step}-{step + 9}")
    assert (await near.head()).status == 206
    assert len(origin.requests) == 14
    gate.open()
    assert await near.rest() == block(0)[:10]
    assert len(await leader.rest()) == LARGE - step
    assert (await house.get(origin.url("/a"))).hit


async def test_a_range_of_a_fill_without_a_length_is_the_origins(
    house: House, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH) + b"01234", gate, b"56789")
    origin.serve("/a", reply(206, FRESH, "Content-Range: bytes 5-9/10", body=b"56789"))
    leader = await house.open(origin.url("/a"))
    assert await leader.read(5) == b"01234"
    answer = await house.get(origin.url("/a"), "Range: bytes=5-")
    assert (answer.status, answer.body) == (206, b"56789")
    await leader.wire.reset()
    gate.open()


async def test_an_abandoned_completion_stops(house: House, origin: Origin) -> None:
    tag, size = 'ETag: "1"', 64 * 2**20
    origin.serve(
        "/a", reply(206, FRESH, tag, f"Content-Range: bytes 0-65535/{size}", body=block(0))
    )
    rest = (f"Content-Range: bytes 65536-{size - 1}/{size}", f"Content-Length: {size - 65536}")
    origin.serve("/a", head(206, FRESH, tag, *rest), Stream(65536), AWAIT_CLOSE)
    await house.get(origin.url("/a"), "Range: bytes=0-65535")
    client = await house.open(origin.url("/a"))
    assert await client.read(2 * 65536) == block(0) * 2
    await client.wire.reset()
    async with asyncio.timeout(2):
        await origin.requests[1].closed.wait()
    assert (await house.get(origin.url("/a"), "Range: bytes=0-9")).hit
