"""Requests to the proxy itself: origin-form targets."""

import pytest

from tests.support.house import House
from tests.support.origin import Origin


async def test_the_root_says_what_this_is(house: House) -> None:
    answer = await house.get("/")
    assert answer.status == 200
    assert b"forecache" in answer.body.lower()


async def test_healthz(house: House) -> None:
    assert (await house.get("/healthz")).status == 200


@pytest.mark.parametrize("target", ["/other", "/healthz/x"])
async def test_anything_else_is_404_with_an_explanation(house: House, target: str) -> None:
    answer = await house.get(target)
    assert answer.status == 404
    assert b"proxy" in answer.body.lower()


async def test_host_does_not_make_it_a_reverse_proxy(house: House, origin: Origin) -> None:
    answer = await house.get("/a", f"Host: {origin.authority}")
    assert answer.status == 404
    assert origin.requests == []


async def test_head_of_the_root(house: House) -> None:
    answer = await house.get("/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


async def test_options_asterisk(house: House) -> None:
    answer = await house.get("*", method="OPTIONS")
    assert answer.status in (200, 204)


async def test_the_connection_stays_usable(house: House) -> None:
    wire = await house.wire()
    for _ in range(3):
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: proxy.test\r\n\r\n")
        assert (await wire.response()).status == 200
