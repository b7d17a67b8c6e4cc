"""CONNECT: what is dialled, what is inside, and who is told when it fails."""

from __future__ import annotations

import asyncio

import pytest

from proxy.frontend import connect as connecting
from proxy.frontend.connect import Inside, inside
from proxy.frontend.options import ServerOptions
from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from proxy.store.base import StoreFailed
from proxy.upstream.base import NotReached, NotTunnelled, Prohibited
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
        assert len(behind.fetcher.origins) == 1
        assert dialled.kept, "the pool has it"
        assert not dialled.closed

    async def test_octet_by_octet_and_all_at_once(self) -> None:
        octets = connect("a.example:8080") + plain("/x") + plain("/y")
        answers = [
            await Behind().client().send(octets),
            await Behind().client().drip(octets),
        ]
        assert answers[0] == answers[1]
        assert answers[0].count(b"HTTP/1.1 200 ") == 3

    async def test_where_a_connection_is_idle(self) -> None:
        behind = Behind()
        behind.fetcher.idle = True
        client = behind.client()
        octets = connect("a.example:80") + plain("/x", "a.example")
        assert (await client.send(octets)).endswith(b"GET http://a.example/x ")
        assert behind.fetcher.origins == []

    async def test_the_authority_of_connect_is_the_origin(self) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(connect("a.example:8080"))
        answer = await client.send(plain("/x", "b.example"))
        assert answer.endswith(b"GET http://a.example:8080/x ")
        assert behind.exchange.requests[0].host == "b.example"
        assert client.open

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
        assert dialled.transport.lost

    @pytest.mark.parametrize("port", [80, 8080])
    async def test_an_origin_that_speaks_first(self, port: int) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect(f"a.example:{port}"))
        dialled.transport.feed(b"220 hello\r\n")
        await turns()
        assert client.transport.written == GRANTED + b"220 hello\r\n"
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert dialled.transport.written == b"GET / HTTP/1.1\r\n\r\n"

    async def test_an_origin_that_spoke_before(self) -> None:
        behind = Behind()
        behind.fetcher.result = Dialled(b"220 hello\r\n")
        assert await behind.client().send(connect()) == GRANTED + b"220 hello\r\n"

    async def test_an_origin_that_spoke_before_a_request(self) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled(b"220 hello\r\n")
        client = behind.client()
        assert await client.send(connect() + plain()) == GRANTED + b"220 hello\r\n"
        assert dialled.transport.written == plain()

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
        assert dialled.transport.lost
        assert client.transport.eof_written
        assert len(behind.fetcher.origins) == 1


class TestTooFew:
    """Octets that do not tell yet what is inside."""

    @pytest.fixture(autouse=True)
    def no_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connecting, "TELLING", 0)

    @pytest.mark.parametrize("octets", [b"six", b"EARLY-", b"GET "])
    async def test_are_tunnelled_in_the_end(self, octets: bytes) -> None:
        behind = Behind()
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect())
        await client.send(octets)
        assert dialled.transport.written == octets
        await client.send(b" and more")
        assert dialled.transport.written == octets + b" and more"

    async def test_are_waited_for_where_the_rest_is_refused(self) -> None:
        behind = Behind(REFUSING)
        client = behind.client()
        await client.send(connect("a.example:8080"))
        assert await client.send(b"GET") == b""
        assert (await client.send(plain()[3:])).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("options", [None, REFUSING])
    async def test_and_no_more_will_come(
        self, options: ServerOptions | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connecting, "TELLING", 3600)
        behind = Behind(options)
        dialled = behind.fetcher.result = Dialled()
        client = behind.client()
        await client.send(connect())
        await client.send(b"six")
        client.transport.feed_eof()
        await turns()
        if options is None:
            assert dialled.transport.written == b"six"
            assert dialled.transport.eof_written
        else:
            assert b"HTTP/1.1 400 " in client.transport.written
            assert dialled.transport.lost
            assert behind.empty

    @pytest.mark.parametrize("how", ["leave", "tell"])
    async def test_nothing_happens_later(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connecting, "TELLING", 3600)
        behind = Behind()
        client = behind.client()
        await client.send(connect("a.example:8080"))
        await client.send(b"G")
        assert isinstance(client.connection.conversation, connecting.ConnectTask)
        timer = client.connection.conversation._timer
        assert timer is not None
        if how == "leave":
            client.transport.leave()
            await turns()
            assert behind.empty
        else:
            await client.send(plain()[1:])
        assert timer.cancelled()


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
        behind.fetcher.idle = True
        behind.fetcher.result = UNREACHABLE
        client = behind.client()
        assert await client.send(connect("a.example:80") + TLS) == GRANTED
        assert client.transport.lost
        assert behind.empty

    @pytest.mark.parametrize("port", [80, 443])
    @pytest.mark.parametrize("idle", [False, True])
    async def test_our_own_failure_leaves_nobody_hanging(
        self, port: int, idle: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        behind = Behind()
        behind.fetcher.idle = idle
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


class TestStored:
    """What is stored for an authority that cannot be reached."""

    @staticmethod
    def behind(error: Exception, *stored: str) -> Behind:
        async def holds(prefix: str) -> bool:
            asked.append(prefix)
            return any(key.startswith(prefix) for key in stored)

        asked: list[str] = []
        behind = Behind()
        behind.fetcher.result = error
        behind.door.stored = holds
        return behind

    async def test_is_reason_enough(self) -> None:
        client = self.behind(UNREACHABLE, "http://a.example:8080/x").client()
        octets = connect("a.example:8080") + plain()
        assert (await client.send(octets)).startswith(GRANTED + b"HTTP/1.1 200 ")

    async def test_what_is_no_http_still_needs_the_origin(self) -> None:
        client = self.behind(UNREACHABLE, "http://a.example:8080/x").client()
        assert await client.send(connect("a.example:8080") + TLS) == GRANTED
        assert client.transport.lost

    @pytest.mark.parametrize(
        "key",
        [
            param("http://a.example/x", id="another port"),
            param("https://a.example:8080/x", id="another scheme"),
            param("http://a.example:80801/x", id="no such port"),
        ],
    )
    async def test_for_another_is_none(self, key: str) -> None:
        client = self.behind(UNREACHABLE, key).client()
        assert (await client.send(connect("a.example:8080"))).startswith(b"HTTP/1.1 502 ")

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            param(Prohibited(403, "destination_ip_prohibited", "No."), b"403", id="access"),
            param(Prohibited(502, "proxy_loop_detected", "Us."), b"502", id="our own listener"),
        ],
    )
    async def test_never_overrules_access(self, error: Prohibited, status: bytes) -> None:
        behind = self.behind(error, "http://a.example/x")
        answer = await behind.client().send(connect("a.example:80"))
        assert answer.startswith(b"HTTP/1.1 " + status)

    @pytest.mark.parametrize("how", ["fails", "takes too long", "breaks"])
    async def test_who_looks_for_it(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async def holds(_: str) -> bool:
            if how == "fails":
                raise StoreFailed("the disk is gone")
            if how == "breaks":
                raise RuntimeError("ours")
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        monkeypatch.setattr(connecting, "LOOKING", 0)
        behind = Behind()
        behind.fetcher.result = UNREACHABLE
        behind.door.stored = holds
        client = behind.client()
        answer = await client.send(connect())
        if how == "breaks":
            assert client.transport.lost
        else:
            assert answer.startswith(b"HTTP/1.1 502 ")

    @pytest.mark.parametrize(("port", "granted"), [(80, True), (443, False)])
    async def test_a_parent_that_relays_but_tunnels_nothing(self, port: int, granted: bool) -> None:
        behind = Behind()
        behind.fetcher.result = NotTunnelled(502, "connection_refused", "403 to CONNECT.")
        answer = await behind.client().send(connect(f"a.example:{port}"))
        assert (answer == GRANTED) is granted


class TestLeaving:
    """A client that leaves."""

    @pytest.mark.parametrize("octets", [connect(), connect("a.example:80") + TLS])
    @pytest.mark.parametrize("idle", [False, True])
    async def test_while_it_is_dialled(self, octets: bytes, idle: bool) -> None:
        behind = Behind()
        behind.fetcher.idle = idle and TLS in octets
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
        behind.fetcher.idle = True
        behind.fetcher.gate = asyncio.Event()
        client = behind.client()
        await client.send(connect("a.example:80") + TLS)
        assert not client.transport.is_reading()
        client.transport.feed(b"more")
        dialled = behind.fetcher.result = Dialled()
        behind.fetcher.gate.set()
        await turns()
        assert dialled.transport.written == TLS + b"more"
