"""Stores on a temporary folder, and responses to put into them."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proxy.policy.stored import StoredResponse
from proxy.semantics.units import Octets
from proxy.store.options import StoreOptions
from proxy.store.tiered import TieredStore, open_store
from tests.support.build import resp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path
    from typing import Any

    import pytest

KEY = "http://a.example/x"
SMALLEST = 16 * 2**20


def response(name: str, *, vary: str = "", time: float = 1000.0) -> StoredResponse:
    """A response whose body is called ``name``, as the exchange hands it to the store."""
    selecting = (("accept", vary),) if vary else ()
    head = resp(200, "max-age=60", "Content-Type: text/plain", f'ETag: "{name}"')
    return StoredResponse(f"body-{name}", selecting, head, time, time, 0, b"")


def options(folder: Path, size: int = 64 * 2**20, memory: int = 2**20) -> StoreOptions:
    return StoreOptions(folder, Octets(size), Octets(0), Octets(memory))


@asynccontextmanager
async def opened(
    folder: Path, size: int = 64 * 2**20, memory: int = 2**20
) -> AsyncIterator[TieredStore]:
    store = await open_store(options(folder, size, memory))
    try:
        yield store
    finally:
        await store.close()


async def put(store: TieredStore, key: str, name: str, body: bytes, vary: str = "") -> None:
    await store.put(key, response(name, vary=vary), body, store.removals(key))


def refuse_reads(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """So often the kernel has not the octets of a read that would not wait."""
    asked = iter(range(times))
    preadv = os.preadv

    def refusing(file: int, buffers: list[memoryview], offset: int, _: int) -> int:
        if next(asked, None) is not None:
            raise BlockingIOError
        return preadv(file, buffers, offset)

    monkeypatch.setattr(os, "preadv", refusing)


async def together(store: TieredStore, *work: Coroutine[Any, Any, object]) -> list[object]:
    """The answers; what each of these asks of the writer first is in one commit."""
    writer, all_asked = store._writer, threading.Event()
    gather, writer._gather = writer._gather, all_asked.wait  # type: ignore[method-assign,assignment]
    asking = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(0)
    all_asked.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    writer._gather = gather  # type: ignore[method-assign]
    return answers


async def packed(store: TieredStore, count: int = 40, length: int = 10_000) -> dict[str, bytes]:
    """Bodies by key, of one commit, so in a pack: under ``KEY/7`` that of ``response("07")``."""
    bodies = {f"{KEY}/{number}": os.urandom(length) for number in range(count)}
    puts = [put(store, key, f"{n:02}", body) for n, (key, body) in enumerate(bodies.items())]
    assert await together(store, *puts) == [None] * count
    return bodies


async def searched(store: TieredStore) -> None:
    """What it began at its start, because somebody was killed, has ended."""
    assert store._tasks, "nothing was begun"
    await asyncio.gather(*store._tasks)


async def put_spooled(store: TieredStore, key: str, name: str, body: bytes) -> None:
    """The same through a spool, in chunks of 64 KiB."""
    since = store.removals(key)
    spool = store.spool()
    try:
        for start in range(0, len(body), 65536):
            await spool.append(body[start : start + 65536])
        await store.adopt(key, response(name), spool, since)
    finally:
        spool.abandon()


async def bodies_of(store: TieredStore, key: str) -> list[bytes]:
    """The bodies of all variants, read through ``open``. Raises BodyLost."""
    bodies = []
    for stored in (await store.lookup(key)).variants:
        body = await store.open(key, stored)
        octets = b""
        while piece := await body.read_at(len(octets), 100_000):
            octets += piece
        body.close()
        bodies.append(octets)
    return bodies


def body_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


def spool_files(folder: Path) -> list[Path]:
    files = (folder / "spool").rglob("*")
    return sorted(path for path in files if path.is_file() and path.name != "lock")


def disk_usage(folder: Path) -> int:
    """As ``du`` counts: blocks of files and folders."""
    paths = [folder, *folder.rglob("*")]
    total = 0
    for path in paths:
        try:
            total += os.lstat(path).st_blocks * 512
        except FileNotFoundError:
            continue
    return total
