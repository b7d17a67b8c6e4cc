"""Answers that are ready: each change of what they were decided on is seen."""

import time
from collections.abc import Awaitable, Callable

import pytest

from proxy.exchange import tasks
from proxy.exchange.keeping import PUMP
from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Origin, reply

FRESH = "Cache-Control: max-age=60"
TAG = 'ETag: "1"'
Move = Callable[[float], None]
Change = Callable[[House, Origin, Move], Awaitable[None]]


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Move:
    """Sets the clock, by seconds."""
    real = time.time

    def moved(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return moved


async def its_freshness_ends(_: House, origin: Origin, move: Move) -> None:
    origin.serve("/a", reply(200, FRESH, "X-V: new"))
    move(61.0)


async def the_clock_is_set_back(_: House, __: Origin, move: Move) -> None:
    move(-3600.0)


async def it_is_purged(house: House, origin: Origin, _: Move) -> None:
    await house.get(origin.url("/a"), method="PURGE")
    origin.serve("/a", reply(200, FRESH, "X-V: new"))


async def it_is_posted_to(house: House, origin: Origin, _: Move) -> None:
    origin.serve("/a", reply(204))
    await house.get(origin.url("/a"), method="POST")
    origin.serve("/a", reply(200, FRESH, "X-V: new"))


async def it_is_validated(house: House, origin: Origin, _: Move) -> None:
    origin.serve("/a", reply(304, FRESH, TAG, "X-V: new"))
    await house.get(origin.url("/a"), "Cache-Control: no-cache")


async def it_is_replaced(house: House, origin: Origin, _: Move) -> None:
    origin.serve("/a", reply(200, FRESH, "X-V: new"))
    await house.get(origin.url("/a"), "Cache-Control: no-cache")


@pytest.mark.parametrize(
    ("change", "says", "hit"),
    [
        pytest.param(its_freshness_ends, "new", False, id="freshness ends"),
        pytest.param(the_clock_is_set_back, "old", False, id="clock"),
        pytest.param(it_is_purged, "new", False, id="purge"),
        pytest.param(it_is_posted_to, "new", False, id="9111-4.4 unsafe method"),
        pytest.param(it_is_validated, "new", True, id="9111-4.3.4 a 304 refreshes it"),
        pytest.param(it_is_replaced, "new", True, id="another 200"),
    ],
)
async def test_a_change_is_seen(
    start_house: StartHouse, origin: Origin, move: Move, change: Change, says: str, hit: bool
) -> None:
    house = await start_house({"access": {"purge_clients": ["127.0.0.1"]}})
    origin.serve("/a", reply(200, FRESH, TAG, "X-V: old", body=b"hello"))
    for _ in range(2):
        assert (await house.get(origin.url("/a"))).get("x-v") == "old"
        await tasks.finish(PUMP, 5.0)  # it is stored
    (ready,) = house.running.door.hot.memo.values()
    assert ready.block(time.time()) is not None
    await change(house, origin, move)
    await tasks.finish(PUMP, 5.0)  # it is stored
    assert ready.block(time.time()) is None
    answer = await house.get(origin.url("/a"))
    assert (answer.get("x-v"), answer.hit) == (says, hit)
    assert int(answer.get("age") or 0) >= 0
