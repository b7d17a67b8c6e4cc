"""One writer, many readers: paces, the spool, the window after it failed, and the end."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.fill import PIECE, WINDOW, Fill, FillState
from proxy.policy.partial import LONGEST
from proxy.semantics.units import Octets, Seconds
from proxy.store.base import StoreFailed, TooLarge
from proxy.upstream.base import BadResponse, Lost, UpstreamError
from tests.support.fakes import FakeStore
from tests.support.stored import stored

if TYPE_CHECKING:
    from proxy.exchange.fill import FillReader

KEY = "http://a.example/x"
CUT = Lost(502, "connection_terminated", "cut")
BLOCK = bytes(range(256)) * 256  # 64 KiB


def fill_of(store: FakeStore, length: int | None = None, largest: int | None = None) -> Fill:
    return Fill(store, stored("max-age=60"), length, largest)


async def rest(reader: FillReader) -> bytes:
    octets = b""
    while piece := await reader.read():
        octets += piece
    return octets


async def feed(fill: Fill, *chunks: bytes) -> None:
    for chunk in chunks:
        await fill.feed(chunk)


async def test_readers_at_their_own_pace() -> None:
    fill = fill_of(FakeStore())
    first, second = fill.reader(), fill.reader()
    waiting = asyncio.create_task(first.read())
    await feed(fill, b"one")
    assert await waiting == b"one"
    await feed(fill, b"two")
    late = fill.reader()
    fill.end()
    assert [await rest(one) for one in (first, second, late)] == [b"two", b"onetwo", b"onetwo"]
    assert not fill.readers


@pytest.mark.parametrize(
    ("offset", "length", "octets"),
    [
        pytest.param(0, 2, b"ab", id="the beginning"),
        pytest.param(2, 3, b"cde", id="over a border of chunks"),
        pytest.param(4, None, b"efghi", id="to the end"),
        pytest.param(8, 1, b"i", id="the last octet"),
    ],
)
async def test_a_reader_of_a_range(offset: int, length: int | None, octets: bytes) -> None:
    fill = fill_of(FakeStore())
    reader = fill.reader(offset, length)
    reading = asyncio.create_task(rest(reader))
    await feed(fill, b"abc", b"def", b"ghi")
    fill.end()
    assert await reading == octets


async def test_a_range_that_has_come_does_not_wait_for_the_rest() -> None:
    fill = fill_of(FakeStore())
    reader = fill.reader(0, 3)
    await feed(fill, b"abcdef")
    assert await rest(reader) == b"abc"
    assert fill.state is FillState.FLOWING
    assert not fill.readers


async def test_an_announced_length_is_known_and_an_unknown_one_becomes_known() -> None:
    fill = fill_of(FakeStore())
    await feed(fill, b"abc")
    fill.end()
    assert (fill.length, fill.at_hand, fill.state) == (3, b"abc", FillState.WHOLE)


@pytest.mark.parametrize("length", [pytest.param(2, id="longer"), pytest.param(4, id="shorter")])
async def test_another_length_than_announced_breaks_it(length: int) -> None:
    fill = fill_of(FakeStore(), length)
    reader = fill.reader()
    await feed(fill, b"abc")
    fill.end()
    assert (fill.state, fill.at_hand) == (FillState.BROKEN, None)
    with pytest.raises(BadResponse):
        await rest(reader)


async def test_a_break_reaches_every_reader() -> None:
    fill = fill_of(FakeStore())
    behind, waiting = fill.reader(), fill.reader()
    await feed(fill, b"abc")
    assert await waiting.read() == b"abc"
    reading = asyncio.create_task(waiting.read())
    await asyncio.sleep(0)
    fill.end(CUT)
    late = fill.reader()
    assert [await reader.read() for reader in (behind, late)] == [b"abc", b"abc"]
    for attempt in (behind.read(), reading, late.read()):
        with pytest.raises(UpstreamError) as caught:
            await attempt
        assert caught.value is CUT


async def test_what_is_small_stays_in_memory() -> None:
    store = FakeStore()
    fill = fill_of(store)
    await feed(fill, *[BLOCK] * (WINDOW // len(BLOCK)))
    fill.end()
    await fill.store_as(KEY, 0)
    assert not store.spools
    assert [store.bodies[one.id] for one in store.at(KEY)] == [BLOCK * 4]


async def test_what_is_larger_is_spooled_and_read_from_there() -> None:
    store = FakeStore()
    fill = fill_of(store)
    lagging, reader = fill.reader(), fill.reader(WINDOW + 5, 10)
    await feed(fill, *[BLOCK] * 6)
    assert store.spools[0].length == 5 * len(BLOCK)
    fill.end()
    assert fill.at_hand is None
    body = BLOCK * 6
    assert await rest(reader) == body[WINDOW + 5 : WINDOW + 15]
    assert await rest(lagging) == body
    await fill.store_as(KEY, 0)
    assert [store.bodies[one.id] for one in store.at(KEY)] == [body]


async def test_a_piece_is_bounded() -> None:
    fill = fill_of(FakeStore())
    reader = fill.reader()
    fill.take_whole(bytes(PIECE + 1))
    assert [len(await reader.read()), len(await reader.read())] == [PIECE, 1]


async def test_a_spool_that_fails_turns_into_a_window() -> None:
    store = FakeStore()
    store.room = WINDOW + len(BLOCK)
    fill = fill_of(store)
    reader, slow = fill.reader(), fill.reader()
    await feed(fill, *[BLOCK] * 5)
    with pytest.raises(StoreFailed):
        await feed(fill, *[BLOCK] * 5)
    assert not fill.storing
    octets = await reader.read()
    pumping = asyncio.create_task(feed(fill, *[BLOCK] * 4))
    reading = asyncio.create_task(rest(reader))
    await asyncio.sleep(0)
    # The pump waits for the slowest; what is not stored is not held without bound either.
    assert fill.received <= store.spools[0].length + 2 * WINDOW + len(BLOCK)
    assert not pumping.done()
    slower = asyncio.create_task(rest(slow))
    await pumping
    fill.end()
    whole = BLOCK * 14
    assert (octets + await reading, await slower) == (whole, whole)


async def test_nobody_left_in_a_window_ends_it() -> None:
    store = FakeStore()
    store.room = 0
    fill = fill_of(store)
    reader = fill.reader()
    with pytest.raises(StoreFailed):
        await feed(fill, *[BLOCK] * 5)
    pumping = asyncio.create_task(fill.feed(BLOCK))
    await asyncio.sleep(0)
    assert not pumping.done()
    reader.close()
    with pytest.raises(Lost):
        await pumping


async def test_a_rules_limit_ends_storing_and_not_the_body() -> None:
    store = FakeStore()
    fill = fill_of(store, largest=4)
    reader = fill.reader()
    await fill.feed(b"four")
    with pytest.raises(TooLarge):
        await fill.feed(b"!")
    await fill.feed(b"?")
    fill.end()
    assert await rest(reader) == b"four!?"


@pytest.mark.parametrize(
    ("body", "storing"),
    [pytest.param(b"four", True, id="as large"), pytest.param(b"five!", False, id="larger")],
)
async def test_a_rules_limit_for_a_body_at_hand(body: bytes, storing: bool) -> None:
    fill = fill_of(FakeStore(), largest=4)
    with nullcontext() if storing else pytest.raises(TooLarge):
        fill.take_whole(body)
    assert (fill.storing, fill.at_hand) == (storing, body)


async def test_the_spool_goes_once_when_the_last_reader_has_gone() -> None:
    store = FakeStore()
    fill = fill_of(store)
    first, second = fill.reader(), fill.reader()
    await feed(fill, *[BLOCK] * 5)
    fill.end(CUT)
    fill.settle()
    (spool,) = store.spools
    first.close()
    assert spool.abandoned == 0
    second.close()
    second.close()
    first.close()
    assert spool.abandoned == 1


async def test_the_spool_goes_at_once_when_nobody_reads() -> None:
    store = FakeStore()
    fill = fill_of(store)
    await feed(fill, *[BLOCK] * 5)
    fill.end(CUT)
    fill.settle()
    assert store.spools[0].abandoned == 1


async def test_settled_waits_for_the_commit() -> None:
    fill = fill_of(FakeStore())
    fill.take_whole(b"abc")
    waiting = asyncio.create_task(fill.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    fill.settle()
    await waiting


async def test_a_spool_that_cannot_be_read_cuts_the_reader() -> None:
    store = FakeStore()
    fill = fill_of(store)
    reader = fill.reader()
    await feed(fill, *[BLOCK] * 5)
    store.spools[0].unreadable = True
    with pytest.raises(Lost):
        await reader.read()


async def test_a_last_octet_that_cannot_be_spooled_is_still_read() -> None:
    store = FakeStore()
    store.room = 5 * len(BLOCK)
    fill = fill_of(store)
    reader = fill.reader()
    await feed(fill, *[BLOCK] * 5, b"!")
    fill.end()
    with pytest.raises(StoreFailed):
        await fill.store_as(KEY, 0)
    assert await rest(reader) == BLOCK * 5 + b"!"
    assert store.at(KEY) == ()


async def test_a_cancelled_reader_does_not_hurt_the_others() -> None:
    fill = fill_of(FakeStore())
    leaving, staying = fill.reader(), fill.reader()
    tasks = [asyncio.create_task(leaving.read()), asyncio.create_task(staying.read())]
    await asyncio.sleep(0)
    tasks[0].cancel()
    leaving.close()
    await feed(fill, b"abc")
    assert await tasks[1] == b"abc"


MIB = 2**20


class Stops:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def turns() -> None:
    """What is to be called at once has been."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_it_stops_when_the_last_reader_leaves() -> None:
    fill, stops = fill_of(FakeStore(), 100 * MIB), Stops()
    first, second = fill.reader(), fill.reader()
    fill.watch(Octets(MIB), stops)
    await fill.feed(b"abc")
    first.close()
    first.close()
    await turns()
    assert stops.count == 0
    second.close()
    assert stops.count == 0
    await turns()
    assert stops.count == 1


async def test_who_comes_before_it_stops_saves_it() -> None:
    fill, stops = fill_of(FakeStore(), 100 * MIB), Stops()
    leaving = fill.reader()
    fill.watch(Octets(0), stops)
    leaving.close()
    fill.reader()
    await turns()
    assert stops.count == 0


async def test_a_range_that_was_read_leaves_like_any_other() -> None:
    fill, stops = fill_of(FakeStore(), 100 * MIB), Stops()
    reader = fill.reader(0, 2)
    fill.watch(Octets(0), stops)
    await fill.feed(b"abc")
    assert await rest(reader) == b"ab"
    await turns()
    assert stops.count == 1


async def test_a_window_stops_whatever_is_missing() -> None:
    fill, stops = fill_of(FakeStore(), 6, largest=4), Stops()
    reader = fill.reader()
    fill.watch(Octets(MIB), stops)
    with pytest.raises(TooLarge):
        await fill.feed(b"abcde")
    reader.close()
    await turns()
    assert stops.count == 1


async def test_of_an_unknown_length_so_much_more_may_come() -> None:
    fill, stops = fill_of(FakeStore()), Stops()
    reader = fill.reader()
    fill.watch(Octets(3), stops)
    await fill.feed(bytes(10))
    reader.close()
    await fill.feed(b"abc")
    with pytest.raises(Lost):
        await fill.feed(b"d")
    again = fill.reader()
    await fill.feed(bytes(10))
    again.close()
    await fill.feed(b"abc")
    assert stops.count == 0
    fill.end()


async def test_by_time_alone() -> None:
    fill, stops = fill_of(FakeStore(), 100 * MIB), Stops()
    reader = fill.reader()
    fill.watch(Seconds(0.0), stops)
    reader.close()
    await turns()
    assert stops.count == 1


async def test_what_comes_no_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.policy.partial._SHORTEST", 0.0)
    fill, stopped = fill_of(FakeStore(), 1), asyncio.Event()
    reader = fill.reader()
    fill.watch(Octets(MIB), stopped.set)
    reader.close()
    async with asyncio.timeout(5.0):
        await stopped.wait()


async def test_what_was_begun_for_the_cache_ends_by_time_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill, stops = fill_of(FakeStore(), 100 * MIB), Stops()
    fill.watch(Octets(0), stops)
    fill.reader().close()
    await turns()
    assert (stops.count, LONGEST) == (0, 600.0)
    fill.end()
    monkeypatch.setattr("proxy.exchange.fill.LONGEST", Seconds(0.0))
    fill_of(FakeStore(), 100 * MIB).watch(Octets(0), stops)
    await turns()
    assert stops.count == 1


async def test_an_end_is_final() -> None:
    fill = fill_of(FakeStore())
    fill.end(CUT)
    fill.end()
    assert (fill.state, fill.error) == (FillState.BROKEN, CUT)
