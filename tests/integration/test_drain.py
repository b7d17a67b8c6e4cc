"""SIGTERM finishes what is in flight, a second one stops now."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import StartProcess
from tests.support.house import House, ProcessHouse
from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import Wire, request

FRESH = "Cache-Control: max-age=600"


async def refused(process: ProcessHouse) -> None:
    """Until the port does not answer any more."""
    while True:
        try:
            wire = await Wire.connect(process.port)
        except ConnectionError:
            return
        await wire.close()


async def test_a_transfer_in_flight_is_finished(process: ProcessHouse, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    incoming = await process.open(origin.url("/a"))
    assert await incoming.read(3) == b"one"
    process.send(signal.SIGTERM)
    await refused(process)
    gate.open()
    assert await incoming.rest() == b"two"
    assert await process.ended() == 0
    await process.start()
    assert (await process.get(origin.url("/a"))).hit, "the fill was not committed"


async def test_idle_connections_do_not_hold_it(process: ProcessHouse) -> None:
    wire = await process.wire()
    await wire.send(request("GET", "/healthz"))
    assert (await wire.response()).status == 200
    process.send(signal.SIGTERM)
    assert await wire.rest() == b""
    assert await process.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
async def test_a_second_signal_stops_now(
    process: ProcessHouse, origin: Origin, number: signal.Signals
) -> None:
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", Gate())
    incoming = await process.open(origin.url("/a"))
    assert await incoming.read(3) == b"one"
    process.send(number)
    await refused(process)
    process.send(number)
    await process.ended()


async def test_shutdown_timeout_bounds_it(origin: Origin, start_process: StartProcess) -> None:
    process = await start_process({"server": {"shutdown_timeout": "200ms"}})
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", Gate())
    incoming = await process.open(origin.url("/a"))
    assert await incoming.read(3) == b"one"
    process.send(signal.SIGTERM)
    assert await process.ended() == 0


async def test_shutdown_timeout_is_one_of_the_clock(origin: Origin, tmp_path: Path) -> None:
    house = await House.start(tmp_path, {"server": {"shutdown_timeout": "1s"}}, [])
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", Gate())
    incoming = await house.open(origin.url("/a"))
    assert await incoming.read(3) == b"one"
    began = time.monotonic()
    draining = asyncio.create_task(house.running.drain())
    while house.running.door.connections:
        time.sleep(0.2)  # noqa: ASYNC251 - the loop has much to do
        await asyncio.sleep(0)
    assert time.monotonic() - began < 3.5
    await draining
    await house.hang_up()


async def test_a_drained_response_announces_the_close(
    process: ProcessHouse, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, body=b"last"))
    incoming = await process.open(origin.url("/a"))
    await gate.reached()
    process.send(signal.SIGTERM)
    await refused(process)
    gate.open()
    assert await incoming.rest() == b"last"
    assert await incoming.wire.rest() == b""
    assert await process.ended() == 0
