"""A folder of an older version: packs without records, records that say where bodies are."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from msgspec import msgpack

from proxy.store import records, tiered
from proxy.store.bodies import body_path, checksum, checksum_octets
from proxy.store.folder import Folder
from proxy.store.packs import BLOCK, Place
from proxy.store.tiered import TieredStore
from tests.support.damage import sql
from tests.support.stores import KEY, bodies_of, body_files, opened, options, packed, put, response

PACK = "pack-0123456789abcdef00000001"
FIRST = f"{KEY}/0"


def write_pack(folder: Folder, bodies: dict[str, bytes]) -> dict[str, Place]:
    """Places by id."""
    places = {}
    octets = b""
    for id_, body in bodies.items():
        head = msgpack.encode((id_, len(body)))
        places[id_] = place = Place(PACK, len(octets), 1 + len(head), len(body))
        octets += (bytes((len(head),)) + head + body).ljust(place.room, b"\0")
    path = Path(body_path(folder.table.bodies, PACK))
    path.parent.mkdir()
    path.write_bytes(octets)
    return places


def record_of(key: str, id_: str, body: bytes, place: Place) -> bytes:
    stored = replace(response(id_[5:]), length=len(body), checksum=checksum_octets(checksum(body)))
    _, variants = msgpack.decode(records.encode(key, (stored,))[5:])
    payload = msgpack.encode((key, [[*variant, place[:3]] for variant in variants]))
    return bytes((records.VERSION,)) + crc32(payload).to_bytes(4, "big") + payload


def leave(path: Path) -> dict[str, bytes]:
    """The bodies, by key, of a folder that is left in order."""
    folder = Folder(options(path))
    bodies = {f"{KEY}/{number}": os.urandom(2500 + 700 * number) for number in range(12)}
    ids = {key: f"body-{number:02}" for number, key in enumerate(bodies)}
    places = write_pack(folder, {ids[key]: body for key, body in bodies.items()})
    with folder.table.transaction():
        for key, body in bodies.items():
            folder.generations.storing(key)
            place = places[ids[key]]
            folder.table.write_record(key, record_of(key, ids[key], body, place))
            folder.table.write_body(key, ids[key], place)
    folder.table.leave()
    folder.close()
    sql(path, "UPDATE Cache SET value = substr(value, 1, length(value) - 2) WHERE mode = 5")
    (path / "directory").unlink()
    return bodies


@asynccontextmanager
async def left(path: Path) -> AsyncIterator[tuple[TieredStore, dict[str, bytes]]]:
    bodies = leave(path)
    async with opened(path) as store:
        yield store, bodies


async def test_bodies_are_read_as_before(tmp_path: Path) -> None:
    async with left(tmp_path) as (store, bodies):
        for key, body in bodies.items():
            found = await store.lookup(key)
            assert store.held(found.variants[0]) == body
            assert await bodies_of(store, key) == [body]


async def test_the_directory_knows_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiered, "_NOTED_AT_ONCE", 1)
    async with left(tmp_path) as (store, bodies):
        for key in bodies:
            await store.lookup(key)
        assert not store._tasks
        assert not any(store._folder.directory.find(key) for key in bodies)


async def test_an_update_leaves_the_body_where_it_is(tmp_path: Path) -> None:
    async with left(tmp_path) as (store, bodies):
        (stored,) = (await store.lookup(FIRST)).variants
        await store.update(FIRST, [replace(stored, invalid=True)])
        store._memory.clear()
        (stored,) = (await store.lookup(FIRST)).variants
        assert stored.invalid
        assert await bodies_of(store, FIRST) == [bodies[FIRST]]


async def test_nothing_of_it_is_given_back_but_what_goes(tmp_path: Path) -> None:
    async with left(tmp_path) as (store, bodies):
        (path,) = body_files(tmp_path)
        taken = path.stat().st_blocks * 512
        await store.remove_orphans()
        assert path.stat().st_blocks * 512 == taken
        last = list(bodies)[-1]
        await store.remove(last)
        assert path.stat().st_blocks * 512 == taken - -(-(len(bodies[last]) + 12) // BLOCK) * BLOCK
        for key in list(bodies)[:-1]:
            assert await bodies_of(store, key) == [bodies[key]]
            await store.remove(key)
        assert body_files(tmp_path) == []


async def test_what_comes_is_in_a_pack_of_its_own(tmp_path: Path) -> None:
    async with left(tmp_path) as (store, before):
        await put(store, FIRST, "new", b"new")
        bodies = before | await packed(store, 9) | {f"{KEY}/more": os.urandom(9000)}
        await put(store, f"{KEY}/more", "more", bodies[f"{KEY}/more"])
        assert len(body_files(tmp_path)) == 2
    async with opened(tmp_path) as store:
        for key, body in bodies.items():
            assert await bodies_of(store, key) == [body]
