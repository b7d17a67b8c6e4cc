"""One large body, many readers, one of them slow: one upstream request and bounded memory.

``FORECACHE_BIG_MIB`` sets the size; the promise is made for 2048.
"""

import asyncio
import hashlib
import os

import pytest

from tests.support.house import Door, ProcessHouse
from tests.support.origin import Gate, Origin, Stream, head

SIZE = int(os.environ.get("FORECACHE_BIG_MIB", "64")) * 2**20
RESIDENT = 150 * 2**20


async def digest(house: Door, url: str, window: int = 0) -> str:
    incoming = await house.open(url, window=window)
    seen = hashlib.sha256()
    while piece := await incoming.some():
        seen.update(piece)
    return seen.hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(60 + SIZE // 2**20)
async def test_one_leader_ten_followers(process: ProcessHouse, origin: Origin) -> None:
    stream, gate = Stream(SIZE), Gate()
    lines = ("Cache-Control: max-age=600", f"Content-Length: {SIZE}")
    origin.serve("/big", head(200, *lines), gate, stream)
    url = origin.url("/big")
    readers = [asyncio.create_task(digest(process, url))]
    await gate.reached()
    readers += [asyncio.create_task(digest(process, url)) for _ in range(9)]
    readers.append(asyncio.create_task(digest(process, url, window=8192)))
    gate.open()
    assert set(await asyncio.gather(*readers)) == {stream.sha256}
    assert len(origin.requests) == 1
    assert process.peak < RESIDENT
    assert await digest(process, url) == stream.sha256
    assert len(origin.requests) == 1
