"""Upgrade is passed through and the connection then belongs to the two ends (RFC 9110 §7.8)."""

import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import Conversation, Origin, reply
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
