"""Fetching for the cache is never at the client's cost: stories of several clients at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.asking import PATIENCE
from tests.support.coding import flushed
from tests.support.origin import CLOSE, Conversation, Gate, Stream, block, head, reply
from tests.support.resources import FRESH, NOW, TEXT, Resource
from tests.support.rows import ALL, GZIP, HELD, Row, check, get, gets

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House
    from tests.support.origin import Origin
    from tests.support.wire import Incoming

MIB: Final = 2**20
TAG: Final = 'ETag: "v1"'


POLLED: Final = [get(), get(HELD), get(GZIP), get(GZIP, HELD), get(ALL, HELD), get(HELD)]
BREAKING: Final = Resource(
    (FRESH,), TEXT[:1000], "gzip", ranges=False, framing="length", pieces=(1, 5000), pause=1, cut=47
)
ROWS: Final = [
    *gets("a poll beside a stored one", Resource(), *POLLED),
    # After the second the whole is fetched for the cache, and the next one reads along.
    *gets("a poll of what breaks off", BREAKING, *[get(ALL, "If-None-Match: *"), get()] * 2),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_same_as_direct(
    start_house: StartHouse, origin: Origin, direct: Origin, row: Row
) -> None:
    await check(row, start_house, origin, direct)


@pytest.mark.parametrize("how", ["closes", "says 500", "says 503 and closes", "sends half a head"])
async def test_one_failure_answers_all_who_wait(house: House, origin: Origin, how: str) -> None:
    """Twelve clients of an origin that takes 0.3 s to fail: none waits for the others' turns."""
    steps = {
        "closes": b"",
        "says 500": reply(500, body=b"no"),
        "says 503 and closes": reply(503, "Connection: close", body=b"no"),
        "sends half a head": b"HTTP/1.1 200 OK\r\nX-A",
    }

    async def fail(conversation: Conversation) -> None:
        await asyncio.sleep(0.3)
        conversation.writer.write(steps[how])
        conversation.over = how != "says 500"

    origin.otherwise = fail
    began = asyncio.get_running_loop().time()
    asking = [await house.open(origin.url("/a")) for _ in range(12)]
    answers = [await each.whole() for each in asking]
    assert {answer.status for answer in answers} <= {500, 502, 503}
    assert asyncio.get_running_loop().time() - began < 1.6


class Pouring:
    """A large body, or the part of it that is asked for; ``sent`` of it and when it was over."""

    def __init__(self, size: int, control: str = FRESH) -> None:
        self.size = size
        self.streams: list[Stream] = []
        self.over = asyncio.Event()
        self._playing = 0
        self._control = control

    async def __call__(self, conversation: Conversation) -> None:
        first, last = 0, self.size - 1
        if span := conversation.received.get("range"):
            start, _, end = span.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end or last)
        stream = Stream(last - first + 1)
        self.streams.append(stream)
        lines = (NOW, self._control, TAG, f"Content-Length: {stream.size}")
        part = (f"Content-Range: bytes {first}-{last}/{self.size}",) if span else ()
        conversation.writer.write(head(206 if span else 200, *lines, *part))
        self._playing += 1
        self.over.clear()
        conversation.writer.transport.set_write_buffer_limits(0)
        try:
            for offset, length in stream.blocks():
                conversation.writer.write(block(offset, length))
                await conversation.writer.drain()
                stream.sent += length
        finally:
            self._playing -= 1
            if not self._playing:
                self.over.set()

    @property
    def sent(self) -> int:
        return sum(stream.sent for stream in self.streams)


async def left(asking: Incoming, size: int) -> None:
    """A client that leaves when it has ``size`` octets."""
    await asking.read(size)
    await asking.wire.reset()


@pytest.mark.parametrize("control", [FRESH, "Cache-Control: no-store"])
async def test_a_fill_stops_when_its_last_client_leaves(
    house: House, origin: Origin, control: str
) -> None:
    pouring = Pouring(96 * MIB, control)
    origin.serve("/a", pouring)
    await left(await house.open(origin.url("/a")), MIB)
    async with asyncio.timeout(10):
        await pouring.over.wait()
    assert pouring.sent < 24 * MIB


async def test_a_fill_goes_on_when_little_is_missing(house: House, origin: Origin) -> None:
    pouring = Pouring(4 * MIB)
    origin.serve("/a", pouring)
    await left(await house.open(origin.url("/a")), 3 * MIB)
    async with asyncio.timeout(10):
        await pouring.over.wait()
    assert pouring.sent == 4 * MIB
    assert len((await house.get(origin.url("/a"))).body) == 4 * MIB
    assert origin.count("/a") == 1


async def test_six_abandoned_seeks_cost_little(house: House, origin: Origin) -> None:
    pouring = Pouring(96 * MIB)
    origin.serve("/a", pouring)
    for number in range(6):
        seek = f"Range: bytes={number * 12 * MIB}-"
        await left(await house.open(origin.url("/a"), seek), MIB)
    async with asyncio.timeout(10):
        await pouring.over.wait()
    assert pouring.sent < 64 * MIB


class Ranged:
    """The whole stands at a gate; parts are answered at once."""

    def __init__(self, early: int, size: int) -> None:
        self.gate = Gate()
        self._early = early
        self.body = (TEXT * (size // len(TEXT) + 1))[:size]

    async def __call__(self, conversation: Conversation) -> None:
        lines: tuple[str, ...] = (NOW, FRESH, TAG, "Accept-Ranges: bytes")
        if span := conversation.received.get("range"):
            start, _, end = span.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end or len(self.body) - 1)
            if first or last < len(self.body) - 1:
                piece = self.body[first : last + 1]
                part = f"Content-Range: bytes {first}-{last}/{len(self.body)}"
                length = f"Content-Length: {len(piece)}"
                conversation.writer.write(head(206, *lines, part, length) + piece)
                return
        part = f"Content-Range: bytes 0-{len(self.body) - 1}/{len(self.body)}"
        lines = (*lines, f"Content-Length: {len(self.body)}", *([part] if span else []))
        conversation.writer.write(head(206 if span else 200, *lines) + self.body[: self._early])
        await self.gate.wait()
        conversation.writer.write(self.body[self._early :])


async def test_a_range_far_ahead_of_a_slow_fill(house: House, origin: Origin) -> None:
    ranged = Ranged(5_000, 3 * MIB)
    origin.serve("/a", ranged)
    whole = await house.open(origin.url("/a"))
    assert await whole.read(5_000) == ranged.body[:5_000]
    async with asyncio.timeout(PATIENCE):
        part = await house.get(origin.url("/a"), f"Range: bytes={2 * MIB}-{2 * MIB + 99}")
    assert part.status == 206
    assert part.body == ranged.body[2 * MIB : 2 * MIB + 100]
    ranged.gate.open()
    assert await whole.rest() == ranged.body[5_000:]


async def test_sixteen_ranges_of_a_file_in_flight(house: House, origin: Origin) -> None:
    ranged = Ranged(5_000, 18 * MIB)
    origin.serve("/a", ranged)
    whole = await house.open(origin.url("/a"))
    await whole.read(5_000)
    spans = [(n * MIB, n * MIB + 9_999) for n in range(2, 18)]
    asking = [await house.open(origin.url("/a"), f"Range: bytes={a}-{b}") for a, b in spans]
    async with asyncio.timeout(3 * PATIENCE):
        for (first, last), each in zip(spans, asking, strict=True):
            answer = await each.whole()
            assert (answer.status, answer.body) == (206, ranged.body[first : last + 1])
    ranged.gate.open()
    assert await whole.rest() == ranged.body[5_000:]


async def test_a_range_from_the_first_octet_is_a_fill_that_others_join(
    house: House, origin: Origin
) -> None:
    ranged = Ranged(5_000, MIB)
    origin.serve("/a", ranged)
    leader = await house.open(origin.url("/a"), "Range: bytes=0-")
    assert await leader.read(5_000) == ranged.body[:5_000]
    follower = await house.open(origin.url("/a"))
    again = await house.open(origin.url("/a"), "Range: bytes=0-")
    async with asyncio.timeout(PATIENCE):
        assert await follower.read(5_000) == ranged.body[:5_000]
        assert await again.read(5_000) == ranged.body[:5_000]
    assert [(await each.head()).status for each in (leader, follower, again)] == [206, 200, 206]
    ranged.gate.open()
    for each in (leader, follower, again):
        assert await each.rest() == ranged.body[5_000:]
    assert len(origin.requests) == 1


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Pragma: no-cache"])
async def test_no_cache_is_not_answered_by_an_earlier_fetch(
    house: House, origin: Origin, line: str
) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"old"))
    origin.serve("/a", reply(200, FRESH, body=b"new"))
    first = await house.open(origin.url("/a"))
    await gate.reached()
    second = await house.open(origin.url("/a"), line)
    async with asyncio.timeout(PATIENCE):
        assert (await second.whole()).body == b"new"
    gate.open()
    await first.whole()


async def test_a_plain_client_has_a_coded_feed_line_by_line(house: House, origin: Origin) -> None:
    """It joins while the feed is being sent to one who takes its coding."""
    gate = Gate()
    one, two, end = flushed("gzip", b"first\n", b"second\n")
    lines = (NOW, FRESH, "Content-Type: application/x-ndjson", "Content-Encoding: gzip")
    vary = ("Vary: Accept-Encoding", "Connection: close")
    origin.serve("/a", head(200, *lines, *vary) + one, gate, two + end, CLOSE)
    plain = (NOW, FRESH, "Content-Type: application/x-ndjson", "Vary: Accept-Encoding")
    origin.serve(
        "/a", head(200, *plain, "Connection: close") + b"first\n", gate, b"second\n", CLOSE
    )
    leader = await house.open(origin.url("/a"), GZIP)
    assert await leader.read(len(one)) == one
    follower = await house.open(origin.url("/a"))
    async with asyncio.timeout(PATIENCE):
        assert await follower.read(6) == b"first\n"
    gate.open()
    assert await follower.rest() == b"second\n"
    assert await leader.rest() == two + end


async def test_a_confirmation_does_not_narrow_vary(house: House, origin: Origin) -> None:
    tag = ('ETag: "1"', "Vary: X-Key")
    origin.serve("/a", reply(200, "Cache-Control: no-cache", *tag, body=b"one"))
    origin.serve("/a", reply(304, FRESH, 'ETag: "1"', "Vary: Accept"))
    origin.serve("/a", reply(200, FRESH, 'ETag: "2"', "Vary: X-Key", body=b"two"))
    for key, body in (("1", b"one"), ("1", b"one"), ("2", b"two"), ("1", b"one")):
        answer = await house.get(origin.url("/a"), f"X-Key: {key}")
        assert answer.body == body
        assert "X-Key" in (answer.get("vary") or "")


async def test_sixty_confirmations_do_not_make_the_head_grow(house: House, origin: Origin) -> None:
    async def confirm(conversation: Conversation) -> None:
        more = f"X-{len(origin.requests)}: {'x' * 1500}"
        held = conversation.received.get("if-none-match")
        lines = ("Cache-Control: no-cache", TAG, more)
        conversation.writer.write(reply(304, *lines) if held else reply(200, *lines, body=b"hello"))

    origin.serve("/a", confirm)
    for _ in range(61):
        answer = await house.get(origin.url("/a"))
        assert (answer.status, answer.body) == (200, b"hello")
        assert len(answer.raw) < 66 * 1024  # what is stored, and what is said about it


async def test_a_failing_refresh_does_not_replace_what_may_stand_in(
    house: House, origin: Origin
) -> None:
    control = "Cache-Control: max-age=0, stale-while-revalidate=600, stale-if-error=600"
    done = Gate()
    origin.serve("/a", reply(200, control, TAG, body=b"hello"))
    origin.serve("/a", reply(503, "Cache-Control: max-age=600", body=b"sorry"), done)
    done.open()
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == b"hello"
    await done.reached()
    assert (await house.get(origin.url("/a"))).body == b"hello"


async def test_a_stored_error_does_not_stand_in_for_a_newer_one(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(404, "Cache-Control: max-age=0", TAG, body=b"none"))
    origin.serve("/a", reply(500, body=b"broken"))
    assert (await house.get(origin.url("/a"))).status == 404
    assert (await house.get(origin.url("/a"))).status == 500


async def test_must_revalidate_out_of_reach_is_504(house: House, origin: Origin) -> None:
    control = "Cache-Control: max-age=0, must-revalidate"
    origin.serve("/a", reply(200, control, TAG, body=b"hello"))
    await house.get(origin.url("/a"))
    await origin.stop()
    assert (await house.get(origin.url("/a"))).status == 504


async def test_max_age_0_of_the_client_sees_that_the_origin_is_out_of_reach(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(200, f"{FRESH}, stale-if-error=600", TAG, body=b"hello"))
    await house.get(origin.url("/a"))
    await origin.stop()
    answer = await house.get(origin.url("/a"), "Cache-Control: max-age=0")
    assert answer.status in (502, 503, 504)
