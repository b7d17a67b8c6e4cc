"""PURGE on the proxy's own port."""

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Origin, reply

FRESH = "Cache-Control: max-age=60"


async def two_variants(house: House, origin: Origin) -> None:
    for value in ("1", "2"):
        origin.serve("/a", reply(200, FRESH, "Vary: X-A", body=b"old"))
        await house.get(origin.url("/a"), f"X-A: {value}")


async def test_a_client_who_may(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"access": {"purge_clients": ["127.0.0.1"]}})
    await two_variants(house, origin)
    purged = await house.get(origin.url("/a"), method="PURGE")
    assert purged.status == 200
    assert purged.body == f"Purged: 2 stored for {origin.url('/a')}.\n".encode()
    assert purged.get("cache-status") == "forecache; detail=purged"
    assert origin.count("/a") == 2
    for value in ("1", "2"):
        origin.serve("/a", reply(200, FRESH, "Vary: X-A", body=b"new"))
        assert (await house.get(origin.url("/a"), f"X-A: {value}")).body == b"new"


async def test_nothing_there(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"access": {"purge_clients": ["127.0.0.0/8"]}})
    purged = await house.get(origin.url("/a"), method="PURGE")
    assert purged.status == 404
    assert b"Nothing is stored for" in purged.body
    assert origin.requests == []


async def test_a_client_who_may_not(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"access": {"purge_clients": ["192.0.2.7"]}})
    await two_variants(house, origin)
    refused = await house.get(origin.url("/a"), method="PURGE")
    assert refused.status == 403
    assert b'purge_clients = ["127.0.0.1"] would allow it' in refused.body
    assert (await house.get(origin.url("/a"), "X-A: 1")).hit


@pytest.mark.parametrize("status", [200, 405])
async def test_where_nobody_may_it_is_a_method_like_any_other(
    house: House, origin: Origin, status: int
) -> None:
    await two_variants(house, origin)
    origin.serve("/a", reply(status, body=b"the origin's"))
    answer = await house.get(origin.url("/a"), method="PURGE")
    assert (answer.status, answer.body) == (status, b"the origin's")
    assert origin.requests[-1].method == "PURGE"
