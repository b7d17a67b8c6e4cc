"""``/api/verify`` and ``/api/gc`` of a proxy that serves meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from proxy.store.checking import check
from proxy.store.disk import DATABASE
from tests.support import damage
from tests.support.damage import KEYS, OCTETS, SIZES, fill
from tests.support.large_store import fill as fill_large
from tests.support.origin import Origin, reply
from tests.support.stores import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import StartHouse
    from tests.support.house import House

Lines = list[dict[str, Any]]
FRESH: Final = "Cache-Control: max-age=600"


class Asking:
    def __init__(self, house: House, session: aiohttp.ClientSession) -> None:
        assert house.running.admin is not None
        self.house = house
        self.url = f"http://{house.running.admin.address}"
        self.session = session

    async def lines(self, path: str, **order: object) -> Lines:
        async with self.session.post(self.url + path, json=order) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "application/x-ndjson"
            return [json.loads(line) async for line in answer.content]

    async def damaged(self, **order: object) -> Lines:
        lines = await self.lines("/api/verify", **order)
        assert [line["ended"] for line in lines] == [False] * (len(lines) - 1) + [True]
        return [one for line in lines for one in line["damaged"]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def start(start_house: StartHouse, cache: Path, session: aiohttp.ClientSession) -> Asking:
    settings = {"admin": {"listen": "127.0.0.1:0"}, "cache": {"dir": str(cache)}}
    return Asking(await start_house(settings), session)


async def test_the_same_is_found_as_straight(
    start_house: StartHouse, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    await fill(cache)
    for befall in (damage.flip_in_pack, damage.cut_file, damage.flip_file, damage.garbage_record):
        befall(cache)
    straight = [one for step in check(cache) for one in step.damaged]
    admin = await start(start_house, cache, session)
    found = await admin.damaged()
    assert [(one["key"], one["id"], one["why"]) for one in found] == [
        (one.key, one.id, one.why) for one in straight
    ]
    assert len(found) == 4
    assert not any(one["removed"] for one in found)
    url = KEYS["row"]
    assert [one["key"] for one in await admin.damaged(urls=[url, KEYS["packeda"]])] == [url]
    assert all(one["removed"] for one in await admin.damaged(remove=True))
    assert await admin.damaged() == []
    lines = await admin.lines("/api/verify")
    assert (lines[-1]["done"], lines[-1]["of"]) == (len(SIZES) - 4, len(SIZES) - 4)
    lost = ("packedc", "file", "large", "row")
    assert lines[-1]["octets"] == OCTETS - sum(SIZES[name] for name in lost)


async def test_hits_are_served_meanwhile(
    start_house: StartHouse, session: aiohttp.ClientSession, origin: Origin, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    fill_large(cache, 10_000)
    admin = await start(start_house, cache, session)
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await admin.house.get(origin.url("/a"))
    await admin.house.running.door.exchange.settled(origin.url("/a"))
    for path in ("/api/verify", "/api/gc"):
        upkeep = asyncio.ensure_future(admin.lines(path))
        served = 0
        while not upkeep.done():
            assert (await admin.house.get(origin.url("/a"))).hit
            served += 1
        assert (await upkeep)[-1]["ended"]
        assert served > 3
    async with session.post(f"{admin.url}/api/verify", json={}) as first:
        line = json.loads(await first.content.readline())
        assert (line["of"], line["ended"]) == (10_001, False)
        async with session.post(f"{admin.url}/api/gc", json={}) as second:
            assert (second.status, (await second.json())["error"]["reason"]) == (409, "busy")


async def test_what_memory_has_is_removed_too(
    start_house: StartHouse, session: aiohttp.ClientSession, origin: Origin, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    admin = await start(start_house, cache, session)
    for body in (b"one", b"two"):
        origin.serve("/a", reply(200, FRESH, body=body))
    url = origin.url("/a")
    await admin.house.get(url)
    assert await admin.damaged(urls=[url]) == []  # which waits until it is stored
    damage.sql(cache, "UPDATE Cache SET value = x'00' WHERE key LIKE 'b%'")
    (found,) = await admin.damaged(urls=[url])
    assert (found["key"], found["why"]) == (url, "1 octets instead of 3")
    assert (await admin.house.get(url)).hit
    await admin.damaged(remove=True)
    again = await admin.house.get(url)
    assert (again.hit, again.body) == (False, b"two")


async def test_what_is_of_no_use_is_given_back(
    start_house: StartHouse, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    await fill(cache)
    admin = await start(start_house, cache, session)
    (cache / "spool" / "9").mkdir()
    for name in ("lock", "1"):
        (cache / "spool" / "9" / name).write_bytes(bytes(100))
    for dry_run, there in ((True, True), (False, False)):
        last = (await admin.lines("/api/gc", dry_run=dry_run))[-1]
        assert last["dry_run"] is dry_run
        assert ("spools", 1) in {(one["what"], one["count"]) for one in last["found"]}
        assert (cache / "spool" / "9" / "1").exists() is there
    assert (await admin.lines("/api/gc", dry_run=False))[-1]["found"] == []
    assert (await admin.lines("/api/verify"))[-1]["done"] == len(SIZES)


async def test_what_is_not_stored_is_said(
    start_house: StartHouse, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    admin = await start(start_house, tmp_path / "cache", session)
    (line, last) = await admin.lines("/api/verify", urls=[KEY])
    assert (line["missing"], last["missing"], last["damaged"]) == ([KEY], [], [])


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/api/verify", {"urls": ["nonsense"]}),
        ("/api/verify", {"urls": "x"}),
        ("/api/verify", {"url": KEY}),
        ("/api/gc", {"dry_run": 1}),
        ("/api/gc", []),
    ],
)
async def test_an_order_that_is_not_clear(
    path: str,
    order: object,
    start_house: StartHouse,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    admin = await start(start_house, tmp_path / "cache", session)
    async with session.post(admin.url + path, json=order) as answer:
        assert (answer.status, (await answer.json())["error"]["reason"]) == (400, "unclear")


async def test_a_store_that_cannot_be_read(
    start_house: StartHouse, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    admin = await start(start_house, tmp_path / "cache", session)
    (tmp_path / "cache" / DATABASE).rename(tmp_path / "elsewhere")
    for path in ("/api/verify", "/api/gc"):
        async with session.post(admin.url + path, json={}) as answer:
            assert (answer.status, (await answer.json())["error"]["reason"]) == (503, "store")
