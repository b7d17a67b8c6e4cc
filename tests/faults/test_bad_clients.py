"""Clients that drip, stall and leave: a working client is served and nothing leaks."""

import asyncio

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import Cut, Wire, request

FRESH = "Cache-Control: max-age=60"


async def test_unfinished_heads_do_not_hold_others(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    for _ in range(100):
        await (await house.wire()).send(b"GET http://a.test/ HTTP/1.1\r\nX: ")
    assert (await house.get(origin.url("/a"))).body == b"hello"


async def test_connections_per_client_are_bounded(start_house: StartHouse) -> None:
    house = await start_house({"server": {"max_connections_per_client": 3}})
    wires = [await house.wire() for _ in range(3)]
    for wire in wires:
        await wire.send(request("GET", "/healthz"))
        assert (await wire.response()).status == 200
    extra = await house.wire()
    await extra.send(request("GET", "/healthz"))
    with_answer = await extra.rest()
    assert with_answer == b"" or with_answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 429 "))
    await wires[0].close()
    # Until the proxy has noticed the close.
    while not await served(house):
        pass


async def served(house: House) -> bool:
    try:
        return (await house.get("/healthz")).status == 200
    except (Cut, ConnectionError):
        return False


@pytest.mark.parametrize("when", ["before the answer", "within the head", "within the body"])
@pytest.mark.parametrize("line", [FRESH, "Cache-Control: no-store"], ids=["stored", "not stored"])
async def test_leaving_at_every_point_leaks_nothing(
    house: House, origin: Origin, when: str, line: str
) -> None:
    gate = Gate()
    start = head(200, line, "Content-Length: 200000")
    steps: tuple[bytes | Gate, ...]
    match when:
        case "before the answer":
            steps = (gate, start + bytes(200_000))
        case "within the head":
            steps = (start[:20], gate, start[20:] + bytes(200_000))
        case _:
            steps = (start + bytes(100_000), gate, bytes(100_000))
    origin.serve("/a", *steps)
    for _ in range(3):
        client = await house.open(origin.url("/a"))
        await gate.reached()
        await client.wire.reset()
    gate.open()
    assert (await house.get("/healthz")).status == 200


async def test_aborts_among_good_clients(house: House, origin: Origin) -> None:
    body = bytes(range(256)) * 2000
    for number in range(8):
        origin.serve(f"/{number}", reply(200, FRESH, body=body))

    async def abort(number: int) -> None:
        wire = await Wire.connect(house.port)
        await wire.send(request("GET", origin.url(f"/{number % 8}")))
        await wire.exactly(1 + number * 97)
        await wire.reset()

    async def good(number: int) -> None:
        assert (await house.get(origin.url(f"/{number % 8}"))).body == body

    await asyncio.gather(*(job(n) for n in range(40) for job in (abort, good)))
    assert all(origin.count(f"/{number}") == 1 for number in range(8))


async def test_endless_chunks_to_a_client_that_left(house: House, origin: Origin) -> None:
    wire = await house.wire()
    origin.serve("/up", reply(200, "Connection: close", body=b"early"))
    await wire.send(request("POST", origin.url("/up"), ("Transfer-Encoding: chunked",)))
    await wire.send(b"5\r\nhello\r\n")
    received = await origin.seen(1)
    await wire.reset()
    await received.closed.wait()
    assert not received.whole
