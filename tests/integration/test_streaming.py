"""Bodies stream with backpressure: memory is bounded and a slow reader slows only itself."""

from tests.conftest import StartProcess
from tests.support.house import Door, House
from tests.support.origin import LEAVE_BODY, Conversation, Gate, Origin, Stream, head, reply

SIZE = 48 * 2**20


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
