"""Bodies that become a thousand times as large: constant memory, and nobody else waits."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import zlib
from typing import TYPE_CHECKING, Final

import brotli
import pytest

from tests.support.origin import Origin, reply
from tests.support.wire import Wire, request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.house import ProcessHouse

SIZE: Final = 1024 if os.environ.get("FORECACHE_LONG") else 96  # MiB
MOST_GROWTH: Final = 32 * 2**20
MOST_WAIT: Final = 0.5  # seconds: a machine that runs other tests, too, may take its time
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
    process: ProcessHouse, origin: Origin, coding: str
) -> None:
    """It is verified for the store behind who asked for it so, and decoded for another client."""
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
