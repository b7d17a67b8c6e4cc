"""Bodies stream with backpressure: memory is bounded and a slow reader slows only itself."""

import asyncio

import pytest

from tests.conftest import StartProcess
from tests.support.house import Door, House
from tests.support.origin import (
    AWAIT_CLOSE,
    LEAVE_BODY,
    Conversation,
    Gate,
    Origin,
    Stream,
    head,
    reply,
)

MIB = 2**20
SIZE = 48 * MIB
BIG = 200 * MIB
BUFFERED = 16 * MIB  # what may be in the window, and in two sockets on each side of it
FRESH = ("Cache-Control: max-age=60", 'ETag: "1"')


async def test_an_event_stream_arrives_event_by_event(house: House, origin: Origin) -> None:
    gates = [Gate(), Gate(), Gate()]
    lines = ("Content-Type: text/event-stream", "Cache-Control: no-cache")
    steps = [step for gate in gates for step in (gate, b"data: tick\n\n")]
    origin.serve("/events", head(200, *lines), *steps)
    incoming = await house.open(origin.url("/events"))
    assert (await incoming.head()).get("content-type") == "text/event-stream"
    for gate in gates:
        await gate.reached()
        gate.open()
        assert await incoming.read(12) == b"data: tick\n\n"


async def test_two_readers_of_an_event_stream_have_one_each(house: House, origin: Origin) -> None:
    stay = Gate()
    lines = ("Content-Type: text/event-stream",)
    origin.serve("/events", head(200, *lines) + b"data: 1\n\n", stay)
    origin.serve("/events", head(200, *lines) + b"data: 2\n\n", stay)
    first = await house.open(origin.url("/events"))
    assert await first.read(9) == b"data: 1\n\n"
    second = await house.open(origin.url("/events"))
    assert await second.read(9) == b"data: 2\n\n"


async def settled(house: Door, origin: Origin, stream: Stream) -> int:
    """What has been sent when ten exchanges in a row no longer see it grow."""
    origin.serve("/tick", reply(200, "Cache-Control: no-store"))
    still, sent = 0, -1
    while still < 10 and sent < stream.size:
        await house.get(origin.url("/tick"))
        still, sent = (still + 1, sent) if stream.sent == sent else (0, stream.sent)
    return sent


async def test_the_origin_is_paused_by_a_client_that_does_not_read(
    start_process: StartProcess, origin: Origin
) -> None:
    process = await start_process()
    stream = Stream(SIZE)
    lines = ("Cache-Control: no-store", f"Content-Length: {SIZE}")
    origin.serve("/big", head(200, *lines), stream)
    before = process.resident
    slow = await process.open(origin.url("/big"), window=4096)
    await slow.head()
    assert await settled(process, origin, stream) < SIZE
    assert process.peak - before < 16 * 2**20


async def test_an_upload_pauses_with_the_origin(
    start_process: StartProcess, origin: Origin
) -> None:
    process = await start_process()
    gate, taken = Gate(), Stream(SIZE)

    async def count(conversation: Conversation) -> None:
        await gate.wait()
        async for piece in conversation.body():
            taken.sent += len(piece)

    origin.serve("/up", LEAVE_BODY, count, reply(200))
    wire = await process.wire()
    await wire.send(f"PUT {origin.url('/up')} HTTP/1.1\r\nHost: {origin.authority}\r\n".encode())
    await wire.send(f"Content-Length: {SIZE}\r\n\r\n".encode())
    await gate.reached()
    before = process.resident
    piece = bytes(2**16)
    wire.writer.transport.set_write_buffer_limits(2**16)
    sent = 0
    while wire.writer.transport.get_write_buffer_size() < 2**16 and sent < SIZE:
        wire.writer.write(piece)
        sent += len(piece)
    assert sent < SIZE
    origin.serve("/tick", reply(200))
    for _ in range(10):
        await process.get(origin.url("/tick"))
    assert process.peak - before < 16 * 2**20
    gate.open()
    while sent < SIZE:
        await wire.send(piece)
        sent += len(piece)
    assert (await wire.response("PUT")).status == 200
    assert taken.sent == SIZE


def whole(size: int) -> bytes:
    return head(200, *FRESH, f"Content-Length: {size}")


def part(first: int, size: int) -> bytes:
    span = f"Content-Range: bytes {first}-{size - 1}/{size}"
    return head(206, *FRESH, span, f"Content-Length: {size - first}")


DOWNLOADS = pytest.mark.parametrize(
    ("asked", "minor", "answer"),
    [
        pytest.param((), 1, whole(BIG), id="whole"),
        pytest.param((), 0, whole(BIG), id="whole, HTTP/1.0"),
        pytest.param((f"Range: bytes={MIB}-",), 1, part(MIB, BIG), id="part"),
        pytest.param((f"Range: bytes={MIB}-",), 0, part(MIB, BIG), id="part, HTTP/1.0"),
        pytest.param(("Range: bytes=0-",), 1, part(0, BIG), id="whole, by a range"),
    ],
)


@DOWNLOADS
async def test_an_abandoned_download_stops_though_the_origin_is_silent(
    house: House, origin: Origin, asked: tuple[str, ...], minor: int, answer: bytes
) -> None:
    origin.serve("/big", answer, Stream(MIB), AWAIT_CLOSE)
    origin.serve("/big", reply(200, *FRESH, body=b"anew"))
    client = await house.open(origin.url("/big"), *asked, minor=minor)
    await client.read(MIB)
    await client.wire.reset()
    async with asyncio.timeout(2):
        await origin.requests[0].closed.wait()
    assert (await house.get(origin.url("/big"))).body == b"anew"


@DOWNLOADS
async def test_an_abandoned_download_stops_within_what_is_buffered(
    house: House, origin: Origin, asked: tuple[str, ...], minor: int, answer: bytes
) -> None:
    gate, rest = Gate(), Stream(BIG - 2 * MIB)
    origin.serve("/big", answer, Stream(MIB), gate, rest)
    client = await house.open(origin.url("/big"), *asked, minor=minor)
    await client.read(MIB)
    await client.wire.reset()
    gate.open()
    assert await settled(house, origin, rest) < BUFFERED


async def test_abandoned_with_little_missing_it_is_stored(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/big", whole(8 * MIB), Stream(7 * MIB), gate, Stream(MIB))
    client = await house.open(origin.url("/big"))
    await client.read(7 * MIB)
    await client.wire.reset()
    assert (await house.get("/healthz")).status == 200
    gate.open()
    again = await house.get(origin.url("/big"))
    assert (again.hit, len(again.body), len(origin.requests)) == (True, 8 * MIB, 1)


async def test_who_is_left_has_all_of_it(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/big", whole(SIZE), Stream(MIB), gate, Stream(SIZE - MIB))
    leaving, staying = [await house.open(origin.url("/big")) for _ in range(2)]
    for client in (leaving, staying):
        await client.read(MIB)
    await leaving.wire.reset()
    assert (await house.get("/healthz")).status == 200
    gate.open()
    assert len(await staying.rest()) == SIZE - MIB
    assert len(origin.requests) == 1
