"""A fill that is not stored: who may hold it up, and for how long; and one in tiny pieces."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.exchange import fill as fills
from proxy.exchange.fill import Fill
from proxy.store.base import StoreFailed
from proxy.upstream.base import Lost
from tests.support.fakes import FakeStore
from tests.support.stored import stored

if TYPE_CHECKING:
    from proxy.exchange.fill import FillReader

READERS = 20
BLOCK = bytes(range(256)) * 256  # 64 KiB
SHORT = 0.05  # seconds


def window() -> Fill:
    """It will not be stored, as soon as it is full."""
    store = FakeStore()
    store.room = 0
    return Fill(store, stored("max-age=60"), None)


async def fed(fill: Fill, count: int) -> None:
    for _ in range(count):
        try:
            await fill.feed(BLOCK)
        except StoreFailed:
            assert not fill.storing


async def rest(reader: FillReader) -> bytes:
    octets = b""
    while piece := await reader.read():
        octets += piece
    return octets


async def dripping(reader: FillReader) -> None:
    """Half a window in the time that there is for a whole one."""
    while await reader.read():  # noqa: ASYNC110 - this is how slow it is
        await asyncio.sleep(2 * SHORT)


async def turns() -> None:
    for _ in range(9):
        await asyncio.sleep(0)


async def test_who_stops_reading_is_cut_after_a_while_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fills, "PATIENCE", SHORT)
    fill = window()
    stalled, steady = fill.reader(), fill.reader()
    reading = asyncio.create_task(rest(steady))
    async with asyncio.timeout(5.0):
        await fed(fill, 40)
    fill.end()
    assert await reading == BLOCK * 40
    with pytest.raises(Lost):
        await rest(stalled)
    assert not fill.readers


async def test_the_only_one_sets_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills, "PATIENCE", 0.0)
    fill = window()
    reader = fill.reader()
    pumping = asyncio.create_task(fed(fill, 8))
    await asyncio.sleep(0.01)
    assert not pumping.done()
    octets = await rest_of(reader, 8)
    await pumping
    assert octets == BLOCK * 8


async def rest_of(reader: FillReader, blocks: int) -> bytes:
    octets = b""
    while len(octets) < blocks * len(BLOCK):
        octets += await reader.read()
    return octets


async def test_who_all_lag_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them waits for what comes next, so that nobody would have more of it."""
    monkeypatch.setattr(fills, "PATIENCE", 0.0)
    fill = window()
    readers = [fill.reader() for _ in range(3)]
    pumping = asyncio.create_task(fed(fill, 8))
    await asyncio.sleep(0.01)
    assert (pumping.done(), fill.readers) == (False, 3)
    wholes = await asyncio.gather(*(rest_of(reader, 8) for reader in readers))
    await pumping
    assert wholes == [BLOCK * 8] * 3


async def test_a_moment_is_given_and_who_uses_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills, "PATIENCE", 60.0)
    fill = window()
    slow, fast = fill.reader(), fill.reader()
    reading = asyncio.create_task(rest(fast))
    pumping = asyncio.create_task(fed(fill, 20))
    octets = b""
    while len(octets) < 20 * len(BLOCK):
        await turns()
        octets += await slow.read()
    await pumping
    fill.end()
    assert octets == BLOCK * 20 == await reading


async def test_who_reads_a_little_now_and_then_does_not_hold_it_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time is for a window, not for an octet."""
    monkeypatch.setattr(fills, "PATIENCE", 4 * SHORT)
    fill = window()
    slow, fast = fill.reader(), fill.reader()
    reading = asyncio.create_task(rest(fast))
    pumping = asyncio.create_task(fed(fill, 100))

    async with asyncio.timeout(5.0):
        with pytest.raises(Lost):
            await dripping(slow)
        await pumping
    fill.end()
    assert await reading == BLOCK * 100


async def test_the_time_that_the_origin_takes_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills, "PATIENCE", 2 * SHORT)
    fill = window()
    slow, fast = fill.reader(), fill.reader()
    reading = asyncio.create_task(rest(fast))
    octets = b""
    for _ in range(6):
        pumping = asyncio.create_task(fed(fill, 2))
        await turns()
        while not pumping.done():
            octets += await slow.read()
            await turns()
        await asyncio.sleep(SHORT)  # the origin pauses
    fill.end()
    assert octets + await rest(slow) == BLOCK * 12 == await reading


def seconds(octets: int) -> float:
    """Of CPU for readers who follow a fill that comes octet by octet."""

    async def followed() -> float:
        fill = Fill(FakeStore(), stored("max-age=60"), None)
        reading = [asyncio.create_task(rest(fill.reader())) for _ in range(READERS)]
        began = time.process_time()
        for _ in range(octets):
            await fill.feed(b"a")
            await asyncio.sleep(0)
        fill.end()
        assert set(await asyncio.gather(*reading)) == {b"a" * octets}
        return time.process_time() - began

    return min(asyncio.run(followed()) for _ in range(3))


def test_many_who_follow_what_comes_octet_by_octet_cost_linear_time() -> None:
    seconds(100)
    assert seconds(6000) < 3.0 * seconds(3000)
