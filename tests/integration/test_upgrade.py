"""Upgrade is passed through and the connection then belongs to the two ends (RFC 9110 §7.8)."""

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import (
    AWAIT_CLOSE,
    LEAVE_BODY,
    READ_BODY,
    RESET,
    Conversation,
    Gate,
    Origin,
    chunk,
    reply,
)
from tests.support.wire import DEADLINE, request

ASK = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def echo(conversation: Conversation) -> None:
    while piece := await conversation.reader.read(65_536):
        conversation.writer.write(piece)
        await conversation.writer.drain()
    conversation.over = True


async def test_raw_bytes_both_ways(house: House, origin: Origin) -> None:
    origin.serve("/ws", SWITCH, echo)
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/ws"), ASK))
    head = await wire.head()
    assert head.status == 101
    assert (head.get("upgrade") or "").lower() == "websocket"
    assert "upgrade" in (head.get("connection") or "").lower()
    assert (origin.requests[0].get("upgrade") or "").lower() == "websocket"
    assert origin.requests[0].get("sec-websocket-version") == "13"
    for piece in (b"\x81\x00", b"\x00" * 100_000):
        await wire.send(piece)
        assert await wire.exactly(len(piece)) == piece
    await wire.half_close()
    assert await wire.rest() == b""


async def test_bytes_right_behind_the_101(house: House, origin: Origin) -> None:
    origin.serve("/ws", SWITCH + b"first", echo)
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/ws"), ASK))
    await wire.head()
    assert await wire.exactly(5) == b"first"


async def test_ws_targets_are_http_targets(house: House, origin: Origin) -> None:
    origin.serve("/ws", SWITCH, echo)
    wire = await house.wire()
    await wire.send(request("GET", f"ws://{origin.authority}/ws", ASK))
    assert (await wire.head()).status == 101
    assert origin.requests[0].target == "/ws"


async def test_a_refused_upgrade_is_an_ordinary_answer(house: House, origin: Origin) -> None:
    origin.serve("/ws", reply(426, body=b"no"))
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/ws"), ASK))
    answer = await wire.response()
    assert (answer.status, answer.body) == (426, b"no")
    origin.serve("/b", reply(200, body=b"still open"))
    await wire.send(request("GET", origin.url("/b")))
    assert (await wire.response()).body == b"still open"


async def test_h2c_never_crosses(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"plain"))
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    assert (await house.get(origin.url("/a"), *lines)).body == b"plain"
    for name in ("upgrade", "http2-settings", "connection"):
        assert "h2c" not in (origin.requests[0].get(name) or "").lower()
    assert origin.requests[0].get("http2-settings") is None


async def test_an_unasked_101_is_502(house: House, origin: Origin) -> None:
    origin.serve("/a", SWITCH)
    assert (await house.get(origin.url("/a"))).status == 502


async def test_the_websockets_library_echoes(start_house: StartHouse, no_leaks: None) -> None:
    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        house = await start_house(ports=(port,))
        async with (
            asyncio.timeout(DEADLINE),
            connect(f"ws://127.0.0.1:{port}/", proxy=house.url) as client,
        ):
            for message in ("hello", b"\x00" * 70_000):
                await client.send(message)
                assert await client.recv() == message


HIJACK = ("Connection: Upgrade", "Upgrade: tcp", "Content-Type: application/json")
SIZED = ("Content-Length: 10",)
CHUNKED = ("Transfer-Encoding: chunked",)


def framed(framing: tuple[str, ...], piece: bytes) -> bytes:
    return piece if framing == SIZED else chunk(piece)


@pytest.mark.parametrize("framing", [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("early", [False, True], ids=["101 after", "101 before the end"])
async def test_with_content(
    house: House, origin: Origin, framing: tuple[str, ...], early: bool
) -> None:
    """``docker exec`` asks so. What follows the content is the tunnel's, also at once."""
    steps = (LEAVE_BODY, SWITCH, READ_BODY) if early else (SWITCH,)
    origin.serve("/exec", *steps, b"first", echo)
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/exec"), (*HIJACK, *framing)))
    await wire.send(framed(framing, b"hello"))
    if early:
        assert (await wire.head()).status == 101
    end = b"" if framing == SIZED else b"0\r\n\r\n"
    await wire.send(framed(framing, b"there") + end + b"tunnelled")
    if not early:
        assert (await wire.head()).status == 101
    assert await wire.exactly(14) == b"firsttunnelled"
    assert origin.requests[0].body == b"hellothere"
    assert origin.requests[0].get("upgrade") == "tcp"
    await wire.send(bytes(200_000))
    assert await wire.exactly(200_000) == bytes(200_000)
    await wire.half_close()
    assert await wire.rest() == b""


async def test_with_more_content_than_fits_anywhere(house: House, origin: Origin) -> None:
    origin.serve("/exec", LEAVE_BODY, SWITCH, READ_BODY, echo)
    wire = await house.wire()
    size = 4 * 2**20
    await wire.send(request("POST", origin.url("/exec"), (*HIJACK, f"Content-Length: {size}")))
    await wire.send(bytes(size) + b"tunnelled")
    assert (await wire.head()).status == 101
    assert await wire.exactly(9) == b"tunnelled"
    assert len(origin.requests[0].body) == size
    await wire.half_close()
    assert await wire.rest() == b""


async def test_with_content_that_is_cut(house: House, origin: Origin) -> None:
    origin.serve("/exec", LEAVE_BODY, SWITCH, AWAIT_CLOSE)
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/exec"), (*HIJACK, *SIZED)) + b"hello")
    assert (await wire.head()).status == 101
    await wire.close()
    async with asyncio.timeout(DEADLINE):
        await origin.requests[0].closed.wait()


async def test_with_content_and_an_origin_that_leaves(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/exec", LEAVE_BODY, SWITCH, gate, RESET)
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/exec"), (*HIJACK, *SIZED)) + b"hello")
    assert (await wire.head()).status == 101
    gate.open()
    with pytest.raises(ConnectionResetError):
        await wire.rest()


async def test_with_content_refused(house: House, origin: Origin) -> None:
    """It is an unsafe request like any other then, and changes what is stored."""
    fresh = reply(200, "Cache-Control: max-age=60", body=b"old")
    origin.serve("/exec", fresh)
    await house.get(origin.url("/exec"))
    assert (await house.get(origin.url("/exec"))).hit
    origin.serve("/exec", reply(200, body=b"done"))
    wire = await house.wire()
    await wire.send(request("POST", origin.url("/exec"), (*HIJACK, *SIZED)) + b"hellothere")
    answer = await wire.response("POST")
    assert (answer.status, answer.body) == (200, b"done")
    assert origin.requests[1].body == b"hellothere"
    assert not (await house.get(origin.url("/exec"))).hit
