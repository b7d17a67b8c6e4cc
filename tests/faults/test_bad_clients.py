"""Clients that drip, stall and leave: a working client is served and nothing leaks."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.frontend.conversation import Conversation
from proxy.frontend.descriptors import GRACE
from tests.conftest import StartHouse, StartProcess, descriptors
from tests.support.house import Door, House
from tests.support.origin import AWAIT_CLOSE, Gate, Origin, Stream, head, reply
from tests.support.wire import DEADLINE, Cut, Incoming, Wire, request

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


async def served(house: Door) -> bool:
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


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What is given back is so at once, not when cycles are collected."""
    gc.disable()
    yield
    gc.enable()


def spooled(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/cache/spool/*/*") if path.name != "lock"]


@pytest.mark.parametrize("line", ["X: y", "Range: bytes=0-", "Range: bytes=1-"])
async def test_a_hundred_abandoned_downloads_leave_nothing(
    house: House, origin: Origin, tmp_path: Path, without_collector: None, line: str
) -> None:
    size = 2**26
    fields = [FRESH, 'ETag: "1"', f"Content-Length: {size}"]
    if line.startswith("Range"):
        first = int(line[-2])
        fields = [FRESH, 'ETag: "1"', f"Content-Length: {size - first}"]
        fields.append(f"Content-Range: bytes {first}-{size - 1}/{size}")
    before: set[str] = set()
    for batch in range(10):
        clients = []
        for number in range(10):
            path = f"/{batch}/{number}"
            steps = (head(206 if line.startswith("Range") else 200, *fields), Stream(2**21))
            origin.serve(path, *steps, AWAIT_CLOSE)
            clients.append(await house.open(origin.url(path), line))
        for client in clients:
            await client.read(2**20)
        assert len(spooled(tmp_path)) >= 10
        for client in clients:
            await client.wire.reset()
        async with asyncio.timeout(DEADLINE):
            for received in origin.requests[-10:]:
                await received.closed.wait()
        before = before or descriptors()
    # Threads remove the files, and the loop closes what was reset, in their own time.
    for _ in range(200):
        assert (await house.get("/healthz")).status == 200
        if not spooled(tmp_path):
            break
    assert spooled(tmp_path) == []
    assert len(descriptors()) < len(before) + 10, "but for what was asked just now"


async def test_what_clients_left_behind_is_gone_at_once(house: House, origin: Origin) -> None:
    """Not when the next full collection comes: there may be megabytes in each."""
    gate = Gate()
    origin.serve("/a", head(200, "Cache-Control: no-store", "Content-Length: 900000"), gate)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            client = await house.open(origin.url("/a"))
            await client.head()
            await client.wire.reset()
            await until(lambda: not house.running.door.connections)
        await asyncio.sleep(0)
        left = [each for each in gc.get_objects() if isinstance(each, Conversation)]
    finally:
        gc.enable()
    gate.open()
    assert len(left) <= 1


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


FILES = 128


async def test_idle_connections_go_before_descriptors_are_short(
    start_process: StartProcess, origin: Origin
) -> None:
    process = await start_process(files=FILES)
    origin.serve("/a", reply(200, FRESH, body=bytes(500_000)))
    origin.otherwise = (reply(200, "Cache-Control: no-store", body=b"miss"),)
    first = await process.wire()
    many = [await process.wire() for _ in range(3 * FILES)]
    before = process.seconds
    while not await served(process):
        pass  # those who have just come are idle in a moment
    await asyncio.sleep(2 * GRACE)
    for number in range(10):
        wire = await process.wire(source="127.0.0.2")
        for path in ("/a", f"/{number}"):
            await wire.send(request("GET", origin.url(path)))
            assert (await wire.response()).status == 200
        many.append(wire)
    assert process.files < FILES
    assert process.seconds - before < 2
    with pytest.raises(Cut):
        await asyncio.wait_for(first.head(), DEADLINE)
    (warning,) = process.log[1:]
    assert f"this process may have {FILES} open" in warning


async def test_who_is_served_when_descriptors_are_short_is_served_to_the_end(
    start_process: StartProcess, origin: Origin
) -> None:
    """All connections are in use: one more is told so, and nothing else fails."""
    process = await start_process(files=FILES)
    gate = Gate()
    origin.serve("/a", head(200, "Cache-Control: no-store", "Content-Length: 4"), gate, b"slow")
    slow: list[Incoming] = []
    statuses: set[int] = set()
    while 503 not in statuses:
        one = await process.open(origin.url("/a"))
        statuses.add((await one.head()).status)
        slow.append(one)
    assert process.files < FILES
    assert statuses == {200, 503}
    before = process.seconds
    refused = [await process.get(origin.url("/b")) for _ in range(20)]
    assert {answer.status for answer in refused} == {503}
    assert process.seconds - before < 2
    gate.open()
    for one in slow[:-1]:
        assert await one.rest() == b"slow"
    await process.hang_up()
    while not await served(process):
        pass
    assert (await process.get(origin.url("/c"))).status == 404
