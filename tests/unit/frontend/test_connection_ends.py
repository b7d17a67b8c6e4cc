"""How connections end that do not wait too long: half-close and refusal."""

from __future__ import annotations

import asyncio

from proxy.frontend.phase import Phase
from tests.support.door import Behind, flow, get, outcome
from tests.support.transport import turns

POST = "POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\n"


class TestHalfClose:
    """RFC 9112 §9.6: a client may close its side and still read the answer."""

    async def test_before_a_request(self) -> None:
        behind = Behind()
        client = behind.client()
        client.transport.feed_eof()
        await turns()
        assert behind.empty

    async def test_within_a_head(self) -> None:
        behind = Behind()
        client = behind.client()
        client.transport.feed(get("/a")[:20])
        client.transport.feed_eof()
        await turns()
        assert behind.empty
        assert not client.transport.written

    async def test_before_the_answer(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(b"slow"), gate)
        client = behind.client()
        client.transport.feed(get("/slow"))
        client.transport.feed_eof()
        await turns()
        gate.set()
        await turns()
        assert client.transport.written.endswith(b"slow")
        assert client.transport.ended
        assert behind.empty

    async def test_during_the_answer(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(flow(b"one", gate, b"two", length=6)))
        client = behind.client()
        client.transport.feed(get("/slow"))
        await turns()
        client.transport.feed_eof()
        gate.set()
        await turns()
        assert client.transport.written.endswith(b"onetwo")
        assert behind.empty

    async def test_of_a_body_that_is_not_whole(self) -> None:
        behind = Behind()
        client = behind.client()
        client.transport.feed(f"{POST}Content-Length: 5\r\n\r\nhel".encode())
        await turns()
        client.transport.feed_eof()
        await turns()
        assert client.transport.reset
        assert behind.exchange.bodies == []
        assert behind.empty


class TestRefusal:
    """A refusal is read by the client before the connection ends."""

    async def test_the_rest_is_read_and_forgotten(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(b"nonsense\r\n\r\n")
        assert client.connection.phase is Phase.LINGER
        assert client.transport.eof_written
        assert client.transport.is_reading()
        assert await client.send(get("/a")) == b""
        client.transport.feed_eof()
        await turns()
        assert behind.empty
        assert not client.transport.reset

    async def test_of_a_body_that_goes_on(self) -> None:
        behind = Behind()
        client = behind.client()
        octets = b"PUT /healthz HTTP/1.1\r\nHost: p.test\r\nContent-Length: 99999\r\n\r\n"
        answer = await client.send(octets + get("/a"))
        assert answer[9:12] == b"405"
        assert b"Connection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1 ") == 1, "what looks like a request is its body"
        assert await client.send(bytes(999)) == b""
        assert client.connection.phase is Phase.LINGER
