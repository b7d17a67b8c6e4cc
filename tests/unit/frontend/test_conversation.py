"""One request with a task: bodies, aborts, cuts, CONNECT and upgrades."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest

from proxy.exchange.answer import FileSpan, Flow
from proxy.exchange.answer import Tunnel as TunnelBody
from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from proxy.upstream.base import ClientGone, Lost
from tests.support.build import resp
from tests.support.door import Behind, Client, Dialled, Reader, StoredOctets, flow, get, outcome
from tests.support.transport import turns

if TYPE_CHECKING:
    from proxy.exchange.answer import Body, Inbound, Outcome
    from proxy.upstream.base import RequestBody

param = pytest.param
CHUNKED = (
    b"POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EXPECT = get("/a", "Content-Length: 5", "Expect: 100-continue", method="PUT")


class TestBody:
    """The request body on its way through."""

    async def test_streams(self) -> None:
        behind = Behind()
        pieces: list[bytes] = []

        async def handler(inbound: Inbound) -> Outcome:
            assert inbound.body is not None
            assert inbound.length == 6
            while piece := await inbound.body.read():
                pieces.append(piece)
            return outcome(b"done")

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        await client.send(get("/a", "Content-Length: 6", method="PUT") + b"one")
        assert pieces == [b"one"]
        assert (await client.send(b"two")).endswith(b"done")
        assert pieces == [b"one", b"two"]

    @pytest.mark.parametrize(
        ("octets", "status"),
        [
            param(b"xyz\r\n", b"400", id="promise 3 no size"),
            param(b"5\r\nhelloworld\r\n0\r\n\r\n", b"400", id="promise 3 longer than its size"),
            param(b"5\r\nhello\r\n-1\r\n\r\n", b"400", id="promise 3 after a good chunk"),
            param(b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", b"431", id="endless trailers"),
        ],
    )
    @pytest.mark.parametrize("together", [True, False], ids=["with the head", "after the head"])
    async def test_malformed(self, octets: bytes, status: bytes, together: bool) -> None:
        behind = Behind()
        client = behind.client()
        if together:
            answer = await client.send(CHUNKED + octets + get("/next"))
        else:
            await client.send(CHUNKED)
            answer = await client.send(octets) + await client.send(get("/next"))
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"Connection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1 ") == 1, "nothing behind it is answered"
        assert behind.exchange.bodies == [], "the origin never had a whole one"
        assert client.connection.phase is Phase.LINGER
        assert client.transport.ended
        (record,) = behind.records
        assert (record.what.status, record.what.reason) == (int(status), Reason.BAD_REQUEST)

    async def test_malformed_under_an_answer_cuts_it(self) -> None:
        # A refusal written into an answer would be taken for a part of it.
        behind = Behind()

        async def handler(inbound: Inbound) -> Outcome:
            class Echo(Reader):
                async def read(self) -> bytes:
                    assert inbound.body is not None
                    return await inbound.body.read()

            return outcome(Flow(Echo(), None))

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        answer = await client.send(CHUNKED + b"5\r\nhello\r\n") + await client.send(b"xyz\r\n")
        assert answer.endswith(b"\r\n\r\n5\r\nhello\r\n")
        assert client.transport.reset
        assert behind.records[-1].what.aborted

    @pytest.mark.parametrize("whole", [True, False], ids=["whole", "not whole"])
    async def test_an_early_answer(self, whole: bool) -> None:
        # RFC 9112 §9.3: what is left of a body nobody reads would be the next request.
        behind = Behind()
        behind.exchange.answer("/a", outcome(b"early"))
        client = behind.client()
        octets = get("/a", "Content-Length: 5", method="PUT")
        answer = await client.send(octets + (b"hello" if whole else b"hel"))
        assert answer.endswith(b"early")
        assert (b"Connection: close\r\n" in answer) is not whole
        assert client.open is whole
        assert client.transport.ended is not whole

    async def test_a_body_that_ends_under_an_answer_that_said_close(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/a", outcome(flow(b"one", gate, b"two", length=6)))
        client = behind.client()
        await client.send(get("/a", "Content-Length: 5", method="PUT") + b"hel")
        await client.send(b"lo" + get("/next"))
        gate.set()
        await turns()
        assert client.transport.written.endswith(b"onetwo")
        assert client.transport.ended
        assert len(behind.exchange.requests) == 1


class TestInterim:
    """RFC 9110 §15.2."""

    @staticmethod
    async def reads_after_100(inbound: Inbound) -> Outcome:
        inbound.on_interim(resp(100))
        assert inbound.body is not None
        body = await inbound.body.read()
        return outcome(body)

    async def test_expect(self) -> None:
        behind = Behind()
        behind.exchange.handlers["/a"] = self.reads_after_100
        client = behind.client()
        assert await client.send(EXPECT) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.send(b"hello")).endswith(b"\r\n\r\nhello")
        assert client.open

    async def test_expect_refused_closes(self) -> None:
        # RFC 9110 §10.1.1: the client may send the body all the same.
        behind = Behind()
        behind.exchange.answer("/a", outcome(b"no", status=417))
        client = behind.client()
        answer = await client.send(EXPECT)
        assert answer.startswith(b"HTTP/1.1 417 ")
        assert b"Connection: close\r\n" in answer
        assert await client.send(b"hello") == b""
        assert client.transport.ended

    async def test_not_for_http_1_0(self) -> None:
        behind = Behind()
        behind.exchange.handlers["/a"] = self.reads_after_100
        octets = get("/a", "Content-Length: 5", method="PUT", minor=0)
        assert (await behind.client().send(octets + b"hello")).startswith(b"HTTP/1.1 200 ")

    async def test_not_after_the_answer_began_nor_to_nobody(self) -> None:
        behind, kept = Behind(), list["Inbound"]()

        async def handler(inbound: Inbound) -> Outcome:
            kept.append(inbound)
            return outcome(flow(b"one", asyncio.Event()))

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        before = await client.send(get("/a"))
        kept[0].on_interim(resp(103))
        assert bytes(client.transport.written) == before
        client.transport.leave()
        await turns()
        assert behind.empty


class TestAbort:
    """Promise 31: a client that leaves takes nothing with it, and leaves nothing open."""

    async def test_before_the_answer(self) -> None:
        behind = Behind()
        behind.exchange.answer("/a", outcome(b""), asyncio.Event())
        client = behind.client()
        await client.send(get("/a"))
        client.transport.leave()
        await turns()
        assert behind.exchange.cancelled == 1
        assert behind.empty
        (record,) = behind.records
        assert (record.what.status, record.what.reason) == (0, Reason.CLIENT_GONE)
        assert record.what.aborted

    async def test_within_a_stream(self) -> None:
        behind, reader = Behind(), Reader(b"one", asyncio.Event())
        behind.exchange.answer("/a", outcome(Flow(reader, None)))
        client = behind.client()
        answer = await client.send(get("/a"))
        client.transport.leave()
        await turns()
        assert reader.closed
        assert behind.empty
        what = behind.records[0].what
        assert (what.status, what.sent, what.aborted) == (200, len(answer), True)

    async def test_within_a_file(self) -> None:
        behind, stored = Behind(), StoredOctets(bytes(1_000_000))
        behind.exchange.answer("/a", outcome(FileSpan(stored, 0, 1_000_000)))
        client = behind.client()
        client.transport.stalled = True
        await client.send(get("/a"))
        assert client.transport.pending
        client.transport.leave()
        await turns()
        assert stored.closed
        assert behind.empty

    async def test_within_an_upload(self) -> None:
        behind = Behind()
        bodies: list[RequestBody] = []

        async def handler(inbound: Inbound) -> Outcome:
            assert inbound.body is not None
            bodies.append(inbound.body)
            return outcome(await behind.exchange.read(inbound))

        behind.exchange.handlers["/a"] = handler
        client = behind.client()
        await client.send(get("/a", "Content-Length: 5", method="PUT") + b"hel")
        client.transport.leave()
        await turns()
        with pytest.raises(ClientGone):
            await bodies[0].read()
        assert behind.exchange.bodies == []
        assert behind.exchange.cancelled == 1
        assert behind.empty


class TestCut:
    """Promise 10: a client can tell that an answer is cut, and what it held is closed."""

    @pytest.mark.parametrize("minor", [0, 1])
    @pytest.mark.parametrize("length", [9, None], ids=["length", "no length"])
    async def test_a_stream(self, minor: int, length: int | None) -> None:
        behind, gate = Behind(), asyncio.Event()
        lost = Lost(502, "http_response_incomplete", "cut")
        body = flow(b"one", gate, lost, length=length)
        behind.exchange.answer("/a", outcome(body))
        client = behind.client()
        await client.send(get("/a", minor=minor))
        assert not client.transport.aborted
        gate.set()
        await turns()
        framed = length is not None or minor == 1
        assert client.transport.written.endswith(b"one" if length or not minor else b"one\r\n")
        assert (client.transport.reset, client.transport.eof_written) == (not framed, framed)
        client.transport.leave()
        await turns()
        assert getattr(body.reader, "closed")  # noqa: B009
        assert behind.empty
        assert behind.records[-1].what.aborted

    async def test_for_a_client_that_has_reset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        behind, lost = Behind(), Lost(502, "http_response_incomplete", "cut")
        behind.exchange.answer("/a", outcome(flow(b"one", lost, length=9)))
        client = behind.client()

        def write_eof() -> None:
            raise OSError(errno.ENOTCONN, "not connected")

        monkeypatch.setattr(client.transport, "write_eof", write_eof)
        await client.send(get("/a"))
        await turns()
        assert client.transport.aborted
        assert behind.empty

    async def test_a_file(self) -> None:
        behind, stored = Behind(), StoredOctets(b"hel")
        behind.exchange.answer("/a", outcome(FileSpan(stored, 0, 5)))
        client = behind.client()
        await client.send(get("/a"))
        assert client.transport.reset
        assert stored.closed

    @pytest.mark.parametrize("kind", ["flow", "file", "tunnel"])
    async def test_a_head_that_cannot_be_sent(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, stored, dialled = Reader(), StoredOctets(), Dialled()
        body: dict[str, Body] = {
            "flow": Flow(reader, 0),
            "file": FileSpan(stored, 0, 0),
            "tunnel": TunnelBody(dialled),
        }
        behind = Behind()
        behind.exchange.answer("/a", outcome(body[kind], "X: a\rb"))
        client = behind.client()
        assert await client.send(get("/a")) == b""
        assert client.transport.reset
        assert (reader.closed, stored.closed, dialled.closed) == (
            kind == "flow", kind == "file", kind == "tunnel",
        )  # fmt: skip
        assert "GET http://a.example/a failed" in caplog.text


class TestUpgrade:
    """RFC 9110 §7.8: after a 101 it is octets both ways."""

    @staticmethod
    async def upgraded(early: bytes = b"") -> tuple[Behind, Client, Dialled]:
        behind, dialled = Behind(), Dialled(early)
        answer = outcome(TunnelBody(dialled), "Upgrade: x", status=101)
        behind.exchange.answer("/a", answer)
        client = behind.client()
        head = await client.send(get("/a", "Connection: upgrade", "Upgrade: x") + b"first")
        assert head == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + early
        return behind, client, dialled

    async def test_both_ways(self) -> None:
        behind, client, dialled = await self.upgraded(b"early")
        assert dialled.detached
        assert dialled.transport.written == b"first"
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert dialled.transport.written == b"firstGET / HTTP/1.1\r\n\r\n"
        dialled.transport.feed(b"pong")
        assert client.transport.written.endswith(b"pong")
        dialled.transport.leave()
        await turns()
        assert behind.empty
        record = behind.records[-1]
        assert (record.what.status, record.what.reason, record.what.sent) == (
            101,
            Reason.TUNNEL,
            len(b"earlypong"),
        )
