"""The sweep: what ends a connection that waits too long. Time is an argument; nothing sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import FileSpan, Flow
from proxy.frontend.connection import LINGER
from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from tests.support.door import (
    Behind,
    Client,
    FakePrepared,
    Reader,
    StoredOctets,
    flow,
    get,
    outcome,
)
from tests.support.transport import turns

if TYPE_CHECKING:
    from proxy.exchange.answer import Inbound, Outcome
    from proxy.upstream.base import RequestBody

param = pytest.param
PAUSE = 900
CONNECT = b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n"
UPLOAD = b"POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n"


class Echo:
    """A ``BodyReader`` that waits for the request body when it has said what it has to say."""

    def __init__(self, reader: Reader, body: RequestBody) -> None:
        self._reader = reader
        self._body = body
        self.close = reader.close

    async def read(self) -> bytes:
        return await self._reader.read() or await self._body.read()


async def swept(client: Client, *seconds: float) -> bool:
    """Whether the connection has ended after sweeps so many seconds from now."""
    for later in seconds:
        client.connection.sweep(time.time() + later)
        await turns()
    return client.connection.phase is Phase.GONE


@pytest.mark.parametrize(
    ("octets", "deadline"),
    [
        param(b"", 60, id="idle, nothing ever came"),
        param(get("/a"), 60, id="idle after an answer"),
        param(CONNECT, 60, id="idle after CONNECT"),
        param(CONNECT + b"GE", 60, id="too little after CONNECT to tell what it is"),
        param(b"nonsense\r\n\r\n", LINGER, id="refused, and the client stays"),
        param(get("/a", "Connection: close"), LINGER, id="closed, and the client stays"),
    ],
)
async def test_a_silent_client(octets: bytes, deadline: float) -> None:
    behind = Behind()
    client = behind.client()
    await client.send(octets)
    assert not await swept(client, deadline - 1)
    assert await swept(client, deadline + 1)
    assert not client.transport.reset
    assert behind.empty


async def test_an_answer_that_takes_long_is_waited_for() -> None:
    behind = Behind()
    behind.exchange.answer("/slow", outcome(b"slow"), asyncio.Event())
    client = behind.client()
    await client.send(get("/slow"))
    assert not await swept(client, 3600)
    client.transport.leave()
    await turns()
    assert behind.empty


class TestHead:
    """Bounds: the head deadline is absolute, from its first octet on."""

    async def test_is_answered_with_408(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(get("/a")[:30])
        assert not await swept(client, 29)
        assert not client.transport.written
        assert not await swept(client, 31)
        assert client.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert behind.records[-1].what.reason is Reason.REQUEST_TIMEOUT
        assert await swept(client, 31 + LINGER + 1)

    async def test_a_drip_does_not_extend_it(self) -> None:
        client = Behind().client()
        await client.send(get("/a")[:30])
        since = client.connection.since
        await client.send(get("/a")[30:40])
        assert client.connection.since == since

    async def test_it_begins_anew_with_each_request(self) -> None:
        behind = Behind()
        client = behind.client()
        client.connection.since -= 29
        await client.send(get("/a") + get("/b")[:30])
        assert not await swept(client, 29)
        assert (await client.send(get("/b")[30:])).endswith(b"/b ")

    async def test_a_denied_client_has_no_time(self) -> None:
        # It holds a descriptor that others could use.
        behind = Behind()
        silent, slow = behind.client("198.51.100.1"), behind.client("198.51.100.1")
        await slow.send(get("/a")[:30])
        assert await swept(silent, LINGER + 1)
        assert not await swept(slow, LINGER + 1)
        assert slow.transport.written.startswith(b"HTTP/1.1 403 ")
        assert await swept(slow, 2 * LINGER + 2)


class TestStall:
    """Bounds: who does not read has a quarter of an hour; who reads slowly has all it needs."""

    @staticmethod
    def stalled(behind: Behind) -> Client:
        behind.hot.answers["http://a.example/hot"] = FakePrepared(b"HTTP/1.1 200 OK\r\n\r\n")
        behind.exchange.answer("/inline", outcome(bytes(300_000)))
        behind.exchange.answer("/flow", outcome(flow(*[bytes(100_000)] * 3)))
        span = FileSpan(StoredOctets(bytes(300_000)), 0, 300_000)
        behind.exchange.answer("/file", outcome(span))
        client = behind.client()
        client.transport.stalled = True
        return client

    @pytest.mark.parametrize("path", ["/inline", "/flow", "/file"])
    @pytest.mark.parametrize("line", ["Connection: close", "Connection: keep-alive"])
    async def test_it_is_cut(self, path: str, line: str) -> None:
        behind = Behind()
        client = self.stalled(behind)
        await client.send(get(path, line))
        assert not await swept(client, 0, PAUSE - 1)
        assert await swept(client, PAUSE + 1)
        assert client.transport.reset, "what was not sent whole must not look whole"
        assert behind.empty

    @pytest.mark.parametrize("path", ["/inline", "/flow", "/file"])
    @pytest.mark.parametrize("line", ["Connection: close", "Connection: keep-alive"])
    async def test_a_slow_reader_gets_all(self, path: str, line: str) -> None:
        behind = Behind()
        client = self.stalled(behind)
        await client.send(get(path, line))
        later = 0.0
        while len(client.transport.pending) > 1000:
            client.transport.take(1000)
            later += 50
            assert not await swept(client, later)
        client.transport.take()
        await turns()
        assert client.transport.written.count(b"\0") == 300_000
        assert not client.transport.reset

    async def test_of_hot_answers(self) -> None:
        behind = Behind()
        client = self.stalled(behind)
        behind.hot.answers["http://a.example/hot"] = FakePrepared(bytes(100_000))
        await client.send(get("/hot"))
        assert not await swept(client, 0, PAUSE - 1)
        assert await swept(client, PAUSE + 1)
        assert client.transport.reset

    async def test_the_reader_of_a_cut_body_is_closed(self) -> None:
        behind = Behind()
        client = self.stalled(behind)
        reader = Reader(*[bytes(100_000)] * 3)
        behind.exchange.answer("/flow", outcome(flow(length=300_000)))
        behind.exchange.answer("/mine", outcome(type(flow())(reader, 300_000)))
        await client.send(get("/mine"))
        assert await swept(client, 0, PAUSE + 1)
        assert reader.closed
        assert behind.records[-1].what.aborted


class TestBody:
    """A request body that does not come."""

    async def test_starves(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(UPLOAD + b"hel")
        assert not await swept(client, PAUSE - 1)
        assert not client.transport.written
        assert not await swept(client, PAUSE + 1)
        assert client.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert behind.exchange.bodies == []
        assert behind.records[-1].what.reason is Reason.REQUEST_TIMEOUT
        assert await swept(client, PAUSE + 1 + LINGER + 1)
        assert not client.transport.reset

    async def test_starves_when_the_answer_has_begun(self) -> None:
        behind, reader = Behind(), Reader(b"begun")

        async def handler(inbound: Inbound) -> Outcome:
            assert inbound.body is not None
            return outcome(Flow(Echo(reader, inbound.body), None))

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        await client.send(UPLOAD)
        assert b"begun" in client.transport.written
        assert await swept(client, PAUSE + 1)
        assert client.transport.reset
        assert reader.closed

    async def test_each_octet_gives_it_time(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(UPLOAD + b"hel")
        client.connection.since -= PAUSE - 1
        await client.send(b"lo")
        assert not await swept(client, PAUSE - 1)

    async def test_that_nobody_reads_does_not(self) -> None:
        # The origin has all the time it needs; the client is not to blame.
        behind, gate = Behind(), asyncio.Event()

        async def handler(inbound: Inbound) -> Outcome:
            await gate.wait()
            return outcome(await behind.exchange.read(inbound))

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        await client.send(UPLOAD + b"hel")
        assert not await swept(client, 3600)
        gate.set()
        await turns()
        assert (await client.send(b"lo, you")).endswith(b"hello, yo")


class TestLinger:
    """After the last answer the client has two seconds, and what it sends gives it no more."""

    async def test_a_body_that_goes_on(self) -> None:
        behind = Behind()
        behind.exchange.answer("/a", outcome(b"early"))
        client = behind.client()
        await client.send(UPLOAD + b"h")
        assert client.connection.phase is Phase.LINGER
        since = client.connection.since
        await client.send(b"e")
        assert client.connection.since == since
        assert await swept(client, LINGER + 1)

    async def test_a_malformed_body_that_goes_on(self) -> None:
        client = Behind().client()
        head = b"POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked"
        await client.send(head + b"\r\n\r\nxyz\r\n")
        since = client.connection.since
        await client.send(b"3\r\nabc\r\n")
        assert client.connection.since == since
        assert await swept(client, LINGER + 1)
