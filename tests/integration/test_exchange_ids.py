"""What an answer says that its exchange is called, and what is found by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from tests.support.origin import Origin, reply

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House
    from tests.support.wire import Response

FRESH: Final = "Cache-Control: max-age=600"
ADMIN: Final = {"listen": "127.0.0.1:0"}


async def found(house: House, name: str | None) -> Any:
    """What the admin endpoint knows of that exchange, once its record has come there."""
    server = house.running.admin
    assert server is not None
    url = f"http://{server.address}/api/exchanges/{name}"
    async with asyncio.timeout(5), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return (await answer.json())["exchange"]


def name_in(answer: Response) -> str:
    name = answer.get("forecache-exchange")
    assert name is not None
    return name


async def test_an_error_of_our_own_says_it(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"admin": ADMIN})
    await origin.stop()
    for target, reason in (
        (origin.url("/gone"), "origin-unreachable"),
        (f"http://{origin.host}:25/", "denied-port"),
        ("http://169.254.169.254/", "denied-destination"),
        ("/no-such-page", "self"),
    ):
        answer = await house.get(target)
        name = name_in(answer)
        assert answer.body.endswith(f"-- forecache ({reason}), exchange {name}\n".encode())
        known = await found(house, name)
        assert (known["id"], known["reason"]) == (name, reason)


async def test_others_do_not(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"a"))
    origin.serve("/b", reply(404, "Cache-Control: no-store", body=b"the origin's"))
    for target in (origin.url("/a"), origin.url("/a"), origin.url("/b"), "/healthz"):
        assert (await house.get(target)).get("forecache-exchange") is None


@pytest.mark.parametrize("times", [1, 2, 4], ids=["the first", "the second", "a repeated one"])
@pytest.mark.parametrize("fields", [FRESH, "Cache-Control: no-store"], ids=["hit", "miss"])
async def test_every_answer_if_that_is_wanted(
    start_house: StartHouse, origin: Origin, fields: str, times: int
) -> None:
    house = await start_house({"admin": ADMIN, "server": {"exchange_ids": True}})
    for _ in range(times):
        origin.serve("/a", reply(200, fields, body=b"a"))
    wire = await house.wire()
    names = set()
    for _ in range(times):
        await wire.send(
            f"GET {origin.url('/a')} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode()
        )
        names.add(name_in(await wire.response()))
    assert len(names) == times
    for name in names:
        assert (await found(house, name))["target"] == origin.url("/a")
