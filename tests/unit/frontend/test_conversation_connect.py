"""CONNECT: what is dialled, what is inside, and who is told when it fails."""

from __future__ import annotations

import asyncio

import pytest

from proxy.frontend.conversation import Inside, inside
from proxy.frontend.options import ServerOptions
from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from proxy.upstream.base import NotReached
from tests.support.door import Behind, Dialled, get
from tests.support.transport import turns

param = pytest.param
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
TLS = b"\x16\x03\x01\x02\x00\x01\x00"
REFUSING = ServerOptions(connect_other="refuse")
UNREACHABLE = NotReached(502, "connection_refused", "a.example refuses connections.")


def connect(authority: str = "a.example:443", *lines: str, minor: int = 1) -> bytes:
    head = [f"CONNECT {authority} HTTP/1.{minor}", f"Host: {authority}", *lines, "", ""]
    return "\r\n".join(head).encode()


def plain(path: str = "/x", host: str = "a.example:8080") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        param(TLS, Inside.TLS, id="8446 §5.1 a handshake record"),
        param(b"\x16", Inside.TLS, id="its first octet"),
        param(b"GET / HTTP/1.1\r\n", Inside.HTTP, id="origin-form"),
        param(b"OPTIONS * HTTP/1.1\r\n", Inside.HTTP, id="asterisk-form"),
        param(b"GET http://a.example/", Inside.HTTP, id="absolute-form"),
        param(b"GET HTTP://a.example/", Inside.HTTP, id="absolute-form in capitals"),
        param(b"GET https://a.example/", Inside.HTTP, id="https"),
        param(b"BREW /", Inside.HTTP, id="any method"),
        param(b"G", Inside.UNKNOWN, id="one letter"),
        param(b"GET", Inside.UNKNOWN, id="a method"),
        param(b"GET ", Inside.UNKNOWN, id="a method and a space"),
        param(b"GET http:/", Inside.UNKNOWN, id="a part of a scheme"),
        param(b"GET  /", Inside.OTHER, id="two spaces"),
        param(b"NICK hannah\r\n", Inside.OTHER, id="IRC"),
        param(b"SSH-2.0-OpenSSH_9.6\r\n", Inside.OTHER, id="SSH"),
        param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Inside.OTHER, id="9113 §3.4 HTTP/2"),
        param(b"A" * 25, Inside.OTHER, id="too long for a method"),
        param(b"\0\1", Inside.OTHER, id="binary"),
        param(b"\r\nGET /", Inside.OTHER, id="an empty line"),
    ],
)
def test_what_is_inside(first: bytes, kind: Inside) -> None:
    assert inside(first) is kind


async def test_tls_is_tunnelled() -> None:
    behind = Behind()
    dialled = behind.fetcher.result = Dialled()
    client = behind.client()
    assert await client.send(connect()) == GRANTED
    assert [str(origin) for origin in behind.fetcher.origins] == ["http://a.example:443"]
    await client.send(TLS)
    await client.send(b"more")
    assert dialled.transport.written == TLS + b"more"
    dialled.transport.feed(b"hello")
    assert client.transport.written == GRANTED + b"hello"
    dialled.transport.feed_eof()
    assert client.transport.eof_written
    client.transport.feed_eof()
    await turns()
    assert behind.empty
    what = behind.records[0].what
    assert (what.method, what.target, what.sent) == ("CONNECT", "a.example:443", 5)
    assert what.reason is Reason.TUNNEL


@pytest.mark.parametrize("port", [80, 443])
async def test_octets_that_came_with_connect(port: int) -> None:
    behind = Behind()
    dialled = behind.fetcher.result = Dialled(b"early")
    client = behind.client()
    assert await client.send(connect(f"a.example:{port}") + TLS) == GRANTED + b"early"
    assert dialled.transport.written == TLS
    assert (len(behind.door.connections), len(behind.door.tunnels)) == (0, 1)


async def test_a_client_that_half_closed_while_it_was_dialled() -> None:
    behind = Behind()
    dialled = behind.fetcher.result = Dialled()
    behind.fetcher.gate = asyncio.Event()
    client = behind.client()
    client.transport.feed(connect() + TLS)
    client.transport.feed_eof()
    behind.fetcher.gate.set()
    await turns()
    assert dialled.transport.written == TLS
    assert dialled.transport.eof_written
    dialled.transport.feed(b"bye")
    dialled.transport.feed_eof()
    await turns()
    assert client.transport.written == GRANTED + b"bye"
    assert behind.empty


class TestPlain:
    """Plain HTTP inside a CONNECT is served like any other."""

    @pytest.mark.parametrize("port", [80, 8080])
    async def test_is_served(self, port: int) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        host = "a.example" if port == 80 else "a.example:8080"
        assert await client.send(connect(f"a.example:{port}")) == GRANTED
        for path in ("/x", "/y"):
            answer = await client.send(plain(path, host))
            assert answer.endswith(f"GET http://{host}{path} ".encode())
        # RFC 9110 §9.3.6 asks for a connection; port 80 is dialled when it turns out to need one.
        assert len(behind.fetcher.origins) == (port != 80)
        assert dialled.transport.lost is (port != 80), "what was dialled for nothing is closed"

    async def test_octet_by_octet_and_all_at_once(self) -> None:
        octets = connect("a.example:8080") + plain("/x") + plain("/y")
        answers = [
            await Behind().client().send(octets),
            await Behind().client().drip(octets),
        ]
        assert answers[0] == answers[1]
        assert answers[0].count(b"HTTP/1.1 200 ") == 3

    async def test_the_authority_of_connect_is_the_origin(self) -> None:
        client = Behind().client()
        await client.send(connect("a.example:8080"))
        answer = await client.send(plain("/x", "b.example"))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert client.transport.ended

    async def test_another_connect_inside(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(connect("a.example:80"))
        await client.send(plain("/x", "a.example"))
        assert await client.send(connect("b.example:80")) == GRANTED
        answer = await client.send(plain("/x", "b.example"))
        assert answer.endswith(b"GET http://b.example/x ")

    async def test_half_closed(self) -> None:
        behind = Behind()
        client = behind.client()
        client.transport.feed(connect("a.example:8080") + plain("/x") + plain("/y"))
        client.transport.feed_eof()
        await turns()
        assert client.transport.written.count(b"HTTP/1.1 200 ") == 3
        assert behind.empty


class TestOther:
    """``connect_other``: what is neither TLS nor HTTP."""

    @pytest.mark.parametrize("port", [80, 8080])
    async def test_is_tunnelled(self, port: int) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect(f"a.example:{port}"))
        await client.send(b"NICK hannah\r\n")
        assert dialled.transport.written == b"NICK hannah\r\n"

    @pytest.mark.parametrize("port", [80, 8080])
    async def test_is_refused(self, port: int) -> None:
        behind = Behind(REFUSING)
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect(f"a.example:{port}"))
        assert (await client.send(b"\0\1binary")).startswith(b"HTTP/1.1 400 ")
        assert client.transport.ended
        assert dialled.transport.written == b""
        assert dialled.transport.lost is (port != 80)

    async def test_an_origin_that_speaks_first(self) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect("a.example:8080"))
        dialled.transport.feed(b"220 hello\r\n")
        await turns()
        assert client.transport.written == GRANTED + b"220 hello\r\n"
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert dialled.transport.written == b"GET / HTTP/1.1\r\n\r\n"

    async def test_an_origin_that_spoke_before(self) -> None:
        behind = Behind()
        behind.fetcher.result = Dialled(b"220 hello\r\n")
        assert await behind.client().send(connect()) == GRANTED + b"220 hello\r\n"

    async def test_an_origin_that_speaks_first_is_refused(self) -> None:
        behind = Behind(REFUSING)
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect("a.example:8080"))
        dialled.transport.feed(b"220 hello\r\n")
        await turns()
        assert client.transport.written == GRANTED
        assert client.transport.lost
        assert dialled.transport.lost
        assert behind.empty

    @pytest.mark.parametrize("how", ["feed_eof", "leave"])
    async def test_an_origin_that_leaves(self, how: str) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect())
        getattr(dialled.transport, how)()
        await turns()
        assert client.transport.lost
        assert behind.empty


class TestFailure:
    """What cannot be dialled."""

    async def test_is_answered_and_the_connection_goes_on(self) -> None:
        behind = Behind()
        behind.fetcher.result = UNREACHABLE
        client = behind.client()
        answer = await client.send(connect())
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"Proxy-Status: forecache; error=connection_refused" in answer
        assert (await client.send(get("/a"))).endswith(b"/a ")
        assert [record.what.status for record in behind.records] == [502, 200]

    @pytest.mark.parametrize(
        "octets",
        [
            param(connect(minor=0), id="HTTP/1.0"),
            param(connect("a.example:443", "Connection: close"), id="close"),
        ],
    )
    async def test_unless_the_client_wants_it_closed(self, octets: bytes) -> None:
        behind = Behind()
        behind.fetcher.result = UNREACHABLE
        client = behind.client()
        assert b"Connection: close\r\n" in await client.send(octets)
        assert client.transport.ended

    async def test_after_it_was_granted(self) -> None:
        behind = Behind()
        behind.fetcher.result = UNREACHABLE
        client = behind.client()
        assert await client.send(connect("a.example:80") + TLS) == GRANTED
        assert client.transport.lost
        assert behind.empty

    @pytest.mark.parametrize("port", [80, 443])
    async def test_our_own_failure_leaves_nobody_hanging(
        self, port: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        behind = Behind()
        behind.fetcher.result = RuntimeError("ours")
        client = behind.client()
        await client.send(connect(f"a.example:{port}") + TLS)
        assert client.transport.lost
        assert behind.empty
        assert "connect failed" in caplog.text

    async def test_an_empty_body_is_no_body(self) -> None:
        behind = Behind()
        octets = connect("a.example:443", "Content-Length: 0")
        assert await behind.client().send(octets) == GRANTED


class TestLeaving:
    """A client that leaves."""

    @pytest.mark.parametrize("octets", [connect(), connect("a.example:80") + TLS])
    async def test_while_it_is_dialled(self, octets: bytes) -> None:
        behind = Behind()
        behind.fetcher.gate = asyncio.Event()
        client = behind.client()
        await client.send(octets)
        client.transport.leave()
        await turns()
        assert behind.fetcher.cancelled == 1
        assert behind.empty

    @pytest.mark.parametrize("how", ["feed_eof", "leave"])
    async def test_before_it_says_what_it_wants(self, how: str) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect())
        assert client.connection.phase is Phase.SNIFF
        getattr(client.transport, how)()
        await turns()
        assert dialled.transport.lost
        assert behind.empty

    async def test_for_good_while_it_is_dialled(self) -> None:
        # All that is seen of it is a half-close, and nobody will say what is inside.
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        behind.fetcher.gate = asyncio.Event()
        client = behind.client()
        client.transport.feed(connect())
        client.transport.feed_eof()
        behind.fetcher.gate.set()
        await turns()
        assert dialled.transport.lost
        assert behind.empty

    async def test_while_it_waits_nothing_more_is_read(self) -> None:
        behind = Behind()
        behind.fetcher.gate = asyncio.Event()
        client = behind.client()
        await client.send(connect("a.example:80") + TLS)
        assert not client.transport.is_reading()
        client.transport.feed(b"more")
        dialled = behind.fetcher.result = Dialled()
        behind.fetcher.gate.set()
        await turns()
        assert dialled.transport.written == TLS + b"more"
