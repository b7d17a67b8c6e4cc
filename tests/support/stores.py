"""Stores on a temporary folder, and responses to put into them."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proxy.policy.stored import StoredResponse
from proxy.semantics.units import Octets
from proxy.store.options import StoreOptions
from proxy.store.tiered import TieredStore, open_store
from tests.support.build import resp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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
