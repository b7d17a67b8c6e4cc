"""What one client cannot take from the others: an origin, the resolver, the loop, a connection.

Clients are told apart by address: here 127.0.0.1 takes, and 127.0.0.2 wants its share.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import Wire, request

FRESH = "Cache-Control: max-age=60"
OTHER = "127.0.0.2"
SOON = 0.25  # seconds in which the other client is answered


@contextlib.asynccontextmanager
async def client(house: House, source: str = OTHER) -> AsyncIterator[Wire]:
    wire = await Wire.connect(house.port, source=source)
    try:
        yield wire
    finally:
        await wire.close()


async def asked(house: House, url: str, source: str = OTHER) -> int:
    """The status of the other client's answer."""
    async with client(house, source) as wire:
        await wire.send(request("GET", url))
        return (await wire.response()).status


async def quick(house: House, url: str) -> float:
    """Seconds until the other client has its answer: the best of three, as the machine is busy."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        assert await asked(house, url) == 200
        took.append(time.perf_counter() - began)
    return min(took)


# An origin.


@pytest.mark.parametrize("most", [3, 8, 64])
async def test_slow_downloads_leave_others_a_connection(
    start_house: StartHouse, origin: Origin, most: int
) -> None:
    house = await start_house({"upstream": {"connections_per_origin": most}})
    gate = Gate()
    for number in range(most):
        origin.serve(f"/slow{number}", head(200, "Content-Length: 9"), gate, b"at length")
    origin.serve("/quick", reply(200, "Cache-Control: no-store", body=b"quick"))
    for number in range(most):
        await house.open(origin.url(f"/slow{number}"))
    await origin.seen(most // 2 + 1)
    assert await quick(house, origin.url("/quick")) < SOON
    assert len(origin.requests) < most + 3, "some wait for their turn"
    gate.open()
    await origin.seen(most + 3)


async def test_who_waits_for_an_origin_waits_in_a_line_of_its_own(
    start_house: StartHouse, origin: Origin
) -> None:
    """The one connection goes to another client first, however many waited before."""
    house = await start_house({"upstream": {"connections_per_origin": 1}})
    gate = Gate()
    origin.serve("/slow", gate, reply(200, body=b"slow"))
    origin.otherwise = (reply(200, "Cache-Control: no-store", body=b"next"),)
    first = await house.open(origin.url("/slow"))
    await gate.reached()
    many = [await house.open(origin.url(f"/{number}")) for number in range(20)]
    async with client(house) as wire:
        await wire.send(request("GET", origin.url("/other")))
        await turns(house, 21)
        gate.open()
        assert (await wire.response()).status == 200
    await first.whole()
    for one in many:
        await one.whole()
    assert [received.target for received in origin.requests].index("/other") <= 2


async def turns(house: House, waiting: int) -> None:
    """Until so many wait for a connection to an origin."""
    pool = house.running.fetcher._pool
    async with asyncio.timeout(10):
        while f"waiting={waiting}>" not in repr(pool):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# The resolver.


class SlowNames:
    """The system's resolver, but names below ``slow.test`` wait for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []
        self._system = socket.getaddrinfo

    def getaddrinfo(self, name: str, *args: object, **options: int) -> list[object]:
        self.asked.append(name)
        if name.endswith("slow.test"):
            self.gate.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no server answers")
        if name.endswith("quick.test"):
            name = "127.0.0.1"
        return list(self._system(name, *args, **options))  # type: ignore[arg-type]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    slow = SlowNames()
    monkeypatch.setattr(socket, "getaddrinfo", slow.getaddrinfo)
    yield slow
    slow.gate.set()


@pytest.mark.parametrize("count", [16, 64])
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_slow_names_leave_others_the_resolver(
    house: House, origin: Origin, names: SlowNames, count: int, method: str
) -> None:
    origin.serve("/quick", reply(200, "Cache-Control: no-store", body=b"quick"))
    taking = []
    for number in range(count):
        target = f"{number}.slow.test"
        target = f"http://{target}/" if method == "GET" else f"{target}:443"
        taking.append(await house.open(target, method=method))
    async with asyncio.timeout(10):
        while len(names.asked) < 16:  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.01)
    for number in range(3):
        url = f"http://{number}.quick.test:{origin.port}/quick"
        began = time.perf_counter()
        assert await asked(house, url) == 200
        assert time.perf_counter() - began < SOON
    for one in taking:
        await one.wire.reset()
    while house.running.door.connections:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    names.gate.set()
    await asked(house, f"http://last.quick.test:{origin.port}/quick")
    assert len([name for name in names.asked if "slow" in name]) == 16, (
        "nobody waits for the others"
    )


# The loop.


PIPELINED = {
    "refused by port": request("CONNECT", "127.0.0.1:25"),
    "not found here": request("GET", "/nothing"),
    "about itself": request("GET", "/healthz"),
}


class Turns:
    """What a turn of the loop took at most, in seconds of CPU: the machine is busy otherwise."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()
        self._handle: asyncio.Handle | None = None

    def __enter__(self) -> "Turns":
        self._turn()
        return self

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def __exit__(self, *_: object) -> None:
        assert self._handle is not None
        self._handle.cancel()


@pytest.mark.parametrize("which", [*PIPELINED, "hits"])
async def test_many_pipelined_requests_leave_others_the_loop(
    house: House, origin: Origin, which: str
) -> None:
    origin.serve("/hot", reply(200, FRESH, body=b"hot"))
    await house.get(origin.url("/hot"))
    one = PIPELINED.get(which) or request("GET", origin.url("/hot"))
    wire = await house.wire()
    reading = asyncio.create_task(answers(wire, 5000))
    with Turns() as turns:
        wire.writer.write(one * 5000)
        while not reading.done():
            assert await quick(house, origin.url("/hot")) < SOON
    await reading
    assert turns.longest < 0.04, f"{turns.longest * 1000:.0f} ms"


async def answers(wire: Wire, count: int) -> None:
    async with asyncio.timeout(30):
        for _ in range(count):
            await wire.response()


# Requests per second.


async def test_requests_are_counted_wherever_they_come(
    start_house: StartHouse, origin: Origin
) -> None:
    """CONNECT is one, and so is each inside of it; a hit is one, too."""
    house = await start_house({"server.limits": {"requests_per_second": 0.5}}, (origin.port,))
    origin.serve("/hot", reply(200, FRESH, body=b"hot"))
    assert await asked(house, origin.url("/hot"), "127.0.0.1") == 200
    wire = await house.tunnel(origin.authority)
    for _ in range(3):
        await wire.send(request("GET", "/hot", (f"Host: {origin.authority}",)))
        assert (await wire.response()).status == 200
    await wire.send(request("GET", "/hot", (f"Host: {origin.authority}",)))
    answer = await wire.response()
    assert answer.status == 429
    assert answer.get("retry-after") in ("1", "2")
    assert answer.proxy_status["details"] == "too-many-requests"
    assert await asked(house, origin.url("/hot"), "127.0.0.1") == 429
    assert await asked(house, origin.url("/hot")) == 200
