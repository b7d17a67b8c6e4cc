"""Bodies that become thousands of times as large: constant memory, little CPU, nobody waits."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import zlib
from typing import TYPE_CHECKING, Final

import brotli
import pytest

from tests.support.origin import AWAIT_CLOSE, Origin, head, reply
from tests.support.wire import DEADLINE, Wire, request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.conftest import StartHouse, StartProcess
    from tests.support.house import House, ProcessHouse

SIZE: Final = 512 if os.environ.get("FORECACHE_LONG") else 96  # MiB
MOST_GROWTH: Final = 32 * 2**20
MOST_WAIT: Final = 0.5  # seconds: a machine that runs other tests, too, may take its time
MOST_SECONDS: Final = 4.0  # of CPU
HIT: Final = 0.0005  # seconds of CPU that one of those takes that are counted beside it
SAID: Final = ("Cache-Control: max-age=600", "Content-Encoding: gzip", "Content-Type: text/plain")
BLANKS: Final = bytes(2**20)


def _blanks() -> Iterator[bytes]:
    for _ in range(SIZE):
        yield BLANKS


def _zlib(wbits: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(map(stream.compress, _blanks())) + stream.flush()


def _zstd() -> bytes:
    stream = zstd.ZstdCompressor()
    return b"".join(map(stream.compress, _blanks())) + stream.flush()


def _brotli() -> bytes:
    stream = brotli.Compressor(quality=3)
    return b"".join(map(stream.process, _blanks())) + bytes(stream.finish())


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "zstd": _zstd,
    "br": _brotli,
}


@pytest.mark.slow
@pytest.mark.parametrize("coding", list(BOMBS))
async def test_a_bomb_passes_with_constant_memory(
    start_process: StartProcess, origin: Origin, coding: str
) -> None:
    """It is verified for the store behind who asked for it so, and decoded for another client."""
    process = await start_process({"coding": {"max_ratio": 0}})
    fields = (f"Content-Encoding: {coding}", "Content-Type: text/plain")
    bomb = BOMBS[coding]()
    origin.serve("/bomb", reply(200, "Cache-Control: max-age=600", *fields, body=bomb))
    origin.serve("/small", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    for _ in range(2):
        await process.get(origin.url("/small"))
    before = process.resident
    waits = [0.0]
    waiting = asyncio.create_task(_hits(process, origin.url("/small"), waits))
    asked = await process.get(origin.url("/bomb"), f"Accept-Encoding: {coding}")
    assert asked.body == bomb
    reader = await process.open(origin.url("/bomb"), "Accept-Encoding: identity")
    received = 0
    while piece := await reader.some():
        received += len(piece)
    waiting.cancel()
    assert received == SIZE * 2**20
    assert process.peak - before < MOST_GROWTH
    assert max(waits) < MOST_WAIT


def _in_gzip(octets: bytes, times: int) -> bytes:
    """A gzip body of so many repetitions, made without having them all."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    coded = [stream.compress(octets) for _ in range(times)]
    return b"".join([*coded, stream.flush()])


def _nested(depth: int) -> bytes:
    """64 MiB of blanks in gzip, 256 members of that in gzip, and so on."""
    octets = _in_gzip(BLANKS, 64)
    for _ in range(1, depth):
        octets = _in_gzip(octets, 256)
    return octets


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3])
async def test_a_bomb_that_nobody_reads_takes_no_time(
    process: ProcessHouse, origin: Origin, depth: int
) -> None:
    """A few kilobytes that stand for 16 GiB, or for 4 TiB; its client leaves, another one comes."""
    said = (f"Content-Encoding: {', '.join(['gzip'] * depth)}", "Cache-Control: max-age=600")
    bomb = _nested(depth)
    origin.serve("/bomb", reply(200, *said, "Content-Type: text/plain", body=bomb))
    origin.serve("/small", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    for _ in range(2):
        await process.get(origin.url("/small"))
    before, waits = process.seconds, [0.0]
    waiting = asyncio.create_task(_hits(process, origin.url("/small"), waits))
    for accept in ("gzip", "identity"):
        for _ in range(3):
            answer = await process.get(origin.url("/bomb"), f"Accept-Encoding: {accept}")
            assert answer.body == bomb
    waiting.cancel()
    assert process.seconds - before < MOST_SECONDS + len(waits) * HIT
    assert max(waits) < MOST_WAIT


async def _stored(house: House, origin: Origin, asks: int) -> None:
    """Another client has had it stored; and so many have asked for it without its coding."""
    origin.serve("/bomb", reply(200, *SAID, body=_in_gzip(BLANKS, SIZE)))
    await house.get(origin.url("/bomb"), "Accept-Encoding: gzip")
    await house.running.door.exchange.settled(origin.url("/bomb"))
    for _ in range(asks):
        reader = await house.open(origin.url("/bomb"), "Accept-Encoding: identity")
        await reader.read(1000)
        await reader.wire.reset()


async def _coming(house: House, origin: Origin) -> None:
    """Another client reads it, who takes its coding; it does not end, nor is it looked at."""
    house.running.door.exchange.shop.verifier = lambda _: None  # type: ignore[assignment]
    bomb = _in_gzip(BLANKS, SIZE)
    lines = (*SAID, f"Content-Length: {len(bomb) + 1}")
    origin.serve("/bomb", head(200, *lines), bomb, AWAIT_CLOSE)
    leader = await house.open(origin.url("/bomb"), "Accept-Encoding: gzip")
    await leader.read(len(bomb))


async def _works(house: House) -> bool:
    """Whether anything is decoded while a few others are answered."""
    counts = house.running.door.exchange.shop.counts
    before = counts.seconds
    for _ in range(20):
        await house.get("/healthz")
    return counts.seconds != before


LEAVING: Final[dict[str, Callable[[House, Origin], Awaitable[None]]]] = {
    "stored": lambda house, origin: _stored(house, origin, 0),
    "stored, and asked for again": lambda house, origin: _stored(house, origin, 1),
    "on its way": _coming,
}


@pytest.mark.parametrize("name", LEAVING)
async def test_what_is_decoded_for_a_client_that_has_left_is_decoded_no_more(
    start_house: StartHouse, origin: Origin, name: str
) -> None:
    house = await start_house({"coding": {"max_ratio": 0}, "cache": {"finish_fill": "0"}})
    await LEAVING[name](house, origin)
    reader = await house.open(origin.url("/bomb"), "Accept-Encoding: identity", window=4096)
    assert await reader.read(1000) == bytes(1000)
    before = len(house.running.door.connections)
    await reader.wire.reset()
    async with asyncio.timeout(DEADLINE):
        while len(house.running.door.connections) >= before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    await _works(house)  # a step that was under way ends
    assert not await _works(house)


async def _hits(process: ProcessHouse, url: str, waits: list[float]) -> None:
    """How long each hit of another client takes, for as long as it is let."""
    wire = await Wire.connect(process.port)
    try:
        while True:
            began = time.perf_counter()
            await wire.send(request("GET", url))
            assert (await wire.response()).hit
            waits.append(time.perf_counter() - began)
    finally:
        wire.writer.transport.abort()
