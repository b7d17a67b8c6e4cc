"""What is in a pack, for whoever has no task that could wait for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.store import pack_reads
from proxy.store.base import Found
from proxy.store.bodies import body_path
from proxy.store.packs import name_of
from proxy.store.tiered import TieredStore
from tests.support.stores import KEY, bodies_of, body_files, opened, packed, put, refuse_reads

FIRST, SECOND = f"{KEY}/0", f"{KEY}/1"
Then = Callable[[Found | None], None]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TieredStore]:
    """It has nothing in memory, and its pack is not open."""
    async with opened(tmp_path) as first:
        await packed(first, 16, 3000)
    async with opened(tmp_path) as second:
        yield second


def waiting() -> tuple[asyncio.Future[Found | None], Then]:
    future: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
    return future, future.set_result


async def soon(store: TieredStore, key: str) -> Found | None:
    """The first of a pack is never there at once: a thread opens it."""
    future, then = waiting()
    if (found := store.at_once(key)) is not None:
        return found
    assert store.soon(key, then)
    async with asyncio.timeout(5):
        return await future


def held(store: TieredStore, found: Found | None) -> bytes | None:
    assert found is not None
    return store.held(found.variants[0])


async def test_a_pack_that_is_open_is_read_at_once(
    store: TieredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *asked: preadv(*asked[:3]))
    assert store.at_once(FIRST) is None
    assert await soon(store, SECOND) is not None
    found = store.at_once(FIRST)
    assert found == store.peek(FIRST)
    assert [held(store, found)] == await bodies_of(store, FIRST)


async def test_what_is_not_there_yet_comes_soon(store: TieredStore) -> None:
    for key in (FIRST, SECOND):
        found = await soon(store, key)
        assert found == store.peek(key)
        assert [held(store, found)] == await bodies_of(store, key)


async def test_the_directory_does_not_know_all(store: TieredStore) -> None:
    await put(store, FIRST, "row", b"row")
    store._memory.clear()
    for key in (FIRST, f"{KEY}/never"):
        assert store.at_once(key) is None
        assert not store.soon(key, waiting()[1])


async def test_only_what_was_not_there_at_once_comes_soon(store: TieredStore) -> None:
    assert not store.soon(FIRST, waiting()[1])
    assert store.at_once(FIRST) is None
    assert not store.soon(SECOND, waiting()[1])


@pytest.mark.parametrize("why", ["changes", "condemned", "replaced"])
async def test_not_when_the_rows_have_to_be_asked(store: TieredStore, why: str) -> None:
    await soon(store, SECOND)
    match why:
        case "changes":
            store._generations.changing(FIRST)
        case "condemned":
            store._condemned.add(FIRST)
        case _:
            store._generations.next_epoch()
    assert store.at_once(FIRST) is None
    assert not store.soon(FIRST, waiting()[1])
    store._condemned.clear()


async def test_a_change_meanwhile_is_noticed(store: TieredStore) -> None:
    (stored,) = (await store.lookup(FIRST)).variants
    store._memory.clear()
    store._lookups._packs.close()
    future, then = waiting()
    assert store.at_once(FIRST) is None
    assert store.soon(FIRST, then)
    store._generations.settled(FIRST)
    assert await future is None
    await store.update(FIRST, [replace(stored, invalid=True)])
    assert store.at_once(FIRST) is None
    assert not store.soon(FIRST, then)


async def test_a_pack_that_is_gone_brings_nothing(store: TieredStore, tmp_path: Path) -> None:
    for path in body_files(tmp_path):
        path.unlink()
    assert await soon(store, FIRST) is None


@pytest.mark.parametrize("octet", [0, 1, 2, 3, 20, 3100])
async def test_damage_brings_nothing(store: TieredStore, tmp_path: Path, octet: int) -> None:
    span = store._folder.directory.find(FIRST)
    assert span is not None
    path = body_path(tmp_path / "bodies", name_of(span.pack))
    file = os.open(path, os.O_RDWR)
    try:
        (value,) = os.pread(file, 1, span.start + octet)
        os.pwrite(file, bytes((value ^ 0x80,)), span.start + octet)
    finally:
        os.close(file)
    assert await soon(store, FIRST) is None
    assert store.at_once(FIRST) is None


async def test_what_the_kernel_fetches_is_looked_for(
    store: TieredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await soon(store, SECOND)
    monkeypatch.setattr(pack_reads, "NOWAIT", 8)
    refuse_reads(monkeypatch, 3)
    assert store.at_once(FIRST) is None
    assert held(store, await soon(store, FIRST)) is not None
