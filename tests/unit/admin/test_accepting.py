"""Connections to the admin listener: so many at a time, and none that stays silent."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import uvloop
from aiohttp import web

from proxy.admin.accepting import UNREAD, Accepting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASKING: Final = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
NEVER: Final = 3600.0
SOON: Final = 0.05
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def accepting(most: int, patience: float) -> AsyncIterator[tuple[str, int]]:
    """Where it listens. Each request is heard, and answered with "hello"."""

    async def hello(request: web.BaseRequest) -> web.StreamResponse:
        made.heard(request.protocol)
        return web.Response(text="hello")

    sock = socket.create_server(("127.0.0.1", 0))
    server = web.Server(hello)
    made = Accepting(server, most, patience)
    await made.start(sock)
    yield sock.getsockname()
    made.close()
    await server.shutdown()
    sock.close()


async def nothing(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def ask(wire: Wire) -> bytes:
    """The answer, or what came until the connection ended."""
    reader, writer = wire
    async with asyncio.timeout(5):
        writer.write(ASKING)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as ended:
            return ended.partial
        return head.split(b"\r\n")[0] + b" " + await reader.read(5)


async def test_so_many_at_a_time() -> None:
    async with accepting(2, NEVER) as where:
        wires = [await asyncio.open_connection(*where) for _ in range(2)]
        assert [await ask(wire) for wire in wires] == [b"HTTP/1.1 200 OK hello"] * 2
        late, writer = await asyncio.open_connection(*where)
        async with asyncio.timeout(5):
            assert (await late.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        writer.close()
        assert await ask(wires[0]) == b"HTTP/1.1 200 OK hello", "those who are in stay"
        for _, writer in wires:
            writer.close()
            await writer.wait_closed()
        again = await asyncio.open_connection(*where)
        assert await ask(again) == b"HTTP/1.1 200 OK hello"
        again[1].close()


def test_so_many_on_the_loop_of_the_program() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_so_many_at_a_time())


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a.te", id="a part of a head"),
    ],
)
async def test_who_does_not_say_what_he_wants_is_dropped(sent: bytes) -> None:
    async with accepting(9, SOON) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(sent)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_who_has_said_so_stays() -> None:
    async with accepting(9, SOON) as where:
        wire = await asyncio.open_connection(*where)
        assert await ask(wire) == b"HTTP/1.1 200 OK hello"
        for _ in range(3):  # each is dropped after one more sweep or two
            reader, writer = await asyncio.open_connection(*where)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
        assert await ask(wire) == b"HTTP/1.1 200 OK hello"
        wire[1].close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this platform")
async def test_who_does_not_read_is_dropped_by_the_system() -> None:
    """Each connection has the option of the socket that it came to."""
    sock = socket.create_server(("127.0.0.1", 0))
    made = Accepting(web.Server(nothing), 9, NEVER)
    await made.start(sock)
    seconds = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
    assert seconds == UNREAD
    made.close()
    sock.close()
