"""Octets in, answers out, in order: the same however the octets are cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from proxy.frontend import door
from proxy.frontend.connection import AHEAD
from proxy.frontend.options import LimitOptions, ServerOptions
from proxy.policy.reasons import Reason
from proxy.semantics.units import Octets
from tests.support.door import Behind, FakePrepared, get, outcome
from tests.support.transport import FakeTransport, turns

if TYPE_CHECKING:
    from proxy.exchange.hot import Prepared

param = pytest.param

POST = "POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\n"
OWN = "HTTP/1.1\r\nHost: proxy.test\r\n\r\n"
CHUNKS = "4;x=y\r\nwiki\r\n5\r\npedia\r\n0\r\nTrailer: dropped\r\n\r\n"
HOT = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhot"

# What is sent, how the answer begins and ends, and whether the connection goes on.
ROWS = [
    param(get("/a"), "200 OK", "GET http://a.example/a ", True, id="GET"),
    param(get("/a", method="HEAD"), "200 OK", "\r\n\r\n", True, id="9112 §6.3 HEAD"),
    param(get("/a", method="BREW"), "200 OK", "BREW http://a.example/a ", True, id="any method"),
    param(b"\r\n" + get("/a"), "200 OK", "/a ", True, id="9112 §2.2 an empty line before"),
    param(get("/a", "Connection: close"), "200 OK", "/a ", False, id="9112 §9.6 close"),
    param(get("/a", minor=0), "200 OK", "/a ", False, id="HTTP/1.0"),
    param(get("/a", "Connection: keep-alive", minor=0), "200 OK", "/a ", True, id="1.0 keep-alive"),
    param(f"{POST}Content-Length: 5\r\n\r\nhello".encode(), "200 OK", "hello", True, id="sized"),
    param(f"{POST}Content-Length: 0\r\n\r\n".encode(), "200 OK", "/a ", True, id="empty body"),
    param(
        f"{POST}Transfer-Encoding: chunked\r\n\r\n{CHUNKS}".encode(),
        "200 OK", "wikipedia", True, id="9112 §7.1 chunked, extension, trailer",
    ),
    param(get("/hot"), "200 OK", "hot", True, id="hot"),
    param(f"GET /healthz {OWN}".encode(), "200 OK", "ok\n", True, id="own page"),
    param(f"HEAD /healthz {OWN}".encode(), "200 OK", "\r\n\r\n", True, id="own page, HEAD"),
    param(b"GET / HTTP/1.0\r\n\r\n", "200 OK", "serves.\n", False, id="own page, HTTP/1.0"),
    param(f"GET /none {OWN}".encode(), "404 Not Found", "(self)\n", True, id="no such page"),
    param(f"PUT / {OWN}".encode(), "405 Method Not Allowed", "(self)\n", True, id="PUT to us"),
    param(f"OPTIONS * {OWN}".encode(), "204 No Content", "\r\n\r\n", True, id="OPTIONS *"),
    param(b"CONNECT a.example:25 " + OWN.encode(), "403 Forbidden", "(denied-port)\n", True,
          id="promise 25 CONNECT to another port"),
    param(b"CONNECT 10.0.0.1:443 " + OWN.encode(), "403 Forbidden", "(denied-destination)\n", True,
          id="promise 23 CONNECT to a literal"),
    param(b"CONNECT a.example " + OWN.encode(), "400 Bad Request", "(bad-request)\n", False,
          id="CONNECT without a port"),
    param(b"GET ftp://a.example/ " + OWN.encode(), "400 Bad Request", "(bad-request)\n", False,
          id="promise 5 a foreign scheme"),
    param(f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
          "400 Bad Request", "(bad-request)\n", False, id="promise 2 CL and TE"),
    param(f"{POST}Transfer-Encoding: gzip\r\n\r\n".encode(),
          "501 Not Implemented", "(bad-request)\n", False, id="promise 2 an unknown coding"),
    param(b"GET http://a.example/ HTTP/2.0\r\n\r\n",
          "505 HTTP Version Not Supported", "(bad-request)\n", False, id="another version"),
    param(b"GET http://a.example/ HTTP/1.1\r\n\r\n",
          "400 Bad Request", "(bad-request)\n", False, id="9112 §3.2 no Host"),
]  # fmt: skip


def behind_with_hot(options: ServerOptions | None = None) -> Behind:
    behind = Behind(options)
    behind.hot.answers["http://a.example/hot"] = FakePrepared(HOT)
    return behind


@pytest.mark.parametrize(("octets", "status", "end", "goes_on"), ROWS)
async def test_one_request(octets: bytes, status: str, end: str, goes_on: bool) -> None:
    client = behind_with_hot().client()
    answer = (await client.send(octets)).decode()
    assert answer.startswith(f"HTTP/1.1 {status}\r\n")
    assert answer.endswith(end)
    assert answer.count("\r\n\r\n") == 1
    assert client.open is goes_on
    assert ("Connection: close\r\n" in answer) is not goes_on


@pytest.mark.parametrize(("octets", "status", "end", "goes_on"), ROWS)
async def test_one_request_octet_by_octet(
    octets: bytes, status: str, end: str, goes_on: bool
) -> None:
    whole = await behind_with_hot().client().send(octets)
    dripped = await behind_with_hot().client().drip(octets)
    # A head that no continuation could make good is refused before it has ended.
    assert dripped == whole or (dripped[:13] == whole[:13] and not goes_on)
    assert dripped.decode().startswith(f"HTTP/1.1 {status}\r\n")
    assert dripped.decode().endswith(end)


@pytest.mark.parametrize(("octets", "status", "end", "goes_on"), ROWS)
async def test_one_request_and_junk(octets: bytes, status: str, end: str, goes_on: bool) -> None:
    client = behind_with_hot().client()
    whole = await behind_with_hot().client().send(octets)
    answer = await client.send(octets + b"\0junk\r\n\r\n")
    assert answer.startswith(whole)
    rest = answer.removeprefix(whole)
    assert rest.startswith(b"HTTP/1.1 400 ") if goes_on else not rest
    assert client.transport.ended


@pytest.mark.parametrize(("octets", "status", "end", "goes_on"), ROWS)
async def test_one_record_for_one_request(
    octets: bytes, status: str, end: str, goes_on: bool
) -> None:
    behind = behind_with_hot()
    answer = await behind.client().send(octets)
    (record,) = behind.records
    assert record.what.status == int(status[:3])
    assert record.what.sent == len(answer)
    assert record.client == "192.0.2.1"
    assert not record.what.aborted


class TestPipelining:
    """Promise 8."""

    async def test_answers_come_in_order(self) -> None:
        behind = behind_with_hot()
        gate = asyncio.Event()
        behind.exchange.answer("/slow", outcome(b"slow"), gate)
        client = behind.client()
        post = f"{POST}Content-Length: 5\r\n\r\nhello".encode()
        health = f"GET /healthz {OWN}".encode()
        sent = get("/slow") + get("/hot") + post + health + get("/hot")
        assert await client.send(sent) == b""
        gate.set()
        answer = await client.send(b"")
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [b"slow", b"hot", b"POST http://a.example/a hello", b"ok\n", b"hot"]

    async def test_one_is_answered_at_a_time(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(b"slow"), gate)
        await behind.client().send(get("/slow") + get("/next"))
        assert [request.uri.path for request in behind.exchange.requests] == ["/slow"]
        gate.set()
        await turns()
        assert [request.uri.path for request in behind.exchange.requests] == ["/slow", "/next"]

    async def test_reading_ahead_is_bounded(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(b"slow"), gate)
        client = behind.client()
        await client.send(get("/slow"))
        many = get("/healthz") * (2 * AHEAD // len(get("/healthz")))
        await client.send(many)
        assert not client.transport.is_reading()
        gate.set()
        await turns(len(many))
        assert client.transport.is_reading()
        assert bytes(client.transport.written).count(b"200 OK") == 1 + many.count(b"GET")

    @pytest.mark.parametrize(
        "octets",
        [
            param(get("/hot"), id="hot"),
            param(get("/inline"), id="in a task"),
            param(f"GET /none {OWN}".encode(), id="own page"),
            param(b"CONNECT 10.0.0.1:443 " + OWN.encode(), id="refused CONNECT"),
        ],
    )
    async def test_a_client_that_does_not_read_is_not_answered_on_and_on(
        self, octets: bytes
    ) -> None:
        # Bounds: 256 KiB buffered per direction, whatever is asked for.
        behind = behind_with_hot()
        behind.hot.answers["http://a.example/hot"] = FakePrepared(HOT + bytes(9000))
        behind.exchange.answer("/inline", outcome(bytes(9000)))
        client = behind.client()
        client.transport.stalled = True
        for _ in range(40):
            client.transport.feed(octets * 50)
            await turns(3)
        await turns(50)
        assert len(client.transport.pending) < 128 * 1024
        assert not client.transport.is_reading()
        while client.transport.pending:
            client.transport.take()
            await turns(5)
        assert client.transport.is_reading()
        assert client.transport.written.count(b"HTTP/1.1 ") == 2000

    async def test_what_is_read_ahead_does_not_grow_from_answer_to_answer(self) -> None:
        behind = behind_with_hot()
        client = behind.client()
        piece = get("/a") * (AHEAD // len(get("/a")) - 1)
        for _ in range(20):
            client.transport.feed(piece)
        for _ in range(200):
            await turns(1)
            assert len(client.connection._buffer) <= 2 * AHEAD
        wanted = 20 * piece.count(b"GET")
        while client.transport.written.count(b"200 OK") < wanted:
            await turns(100)
        assert client.transport.is_reading()

    @pytest.mark.parametrize("ends", [False, True])
    async def test_what_came_at_once_is_answered_by_turns(self, ends: bool) -> None:
        """A little of each connection, the clients by turns; nothing gets lost on the way."""
        behind = behind_with_hot()
        clients = [behind.client("192.0.2.1"), behind.client("192.0.2.1")]
        other = behind.client("192.0.2.2")
        for client in clients:
            client.transport.feed(f"GET /none {OWN}".encode() * 1000 + get("/last", "X: Y")[:-2])
        assert client.transport.written.count(b" 404 ") < 500
        other.transport.feed(f"GET /none {OWN}".encode() * 60)
        while other.transport.written.count(b" 404 ") < 60:
            await turns(1)
        assert all(client.transport.written.count(b" 404 ") < 500 for client in clients)
        for client in clients:
            client.transport.feed(b"\r\n")
            if ends:
                client.transport.feed_eof()
        while sum(client.transport.written.count(b"200 OK") for client in clients) < 2:
            await turns(100)
        assert all(client.transport.written.count(b" 404 ") == 1000 for client in clients)
        await turns(10)
        assert all(client.transport.ended is ends for client in clients)

    async def test_many_connections_give_a_client_no_more_of_a_turn(self) -> None:
        """Nobody waits for a little from each of them."""
        behind = behind_with_hot()
        clients = [behind.client("192.0.2.1") for _ in range(100)]
        other = behind.client("192.0.2.2")
        few = f"GET /none {OWN}".encode() * 10

        def answered() -> int:
            return sum(client.transport.written.count(b" 404 ") for client in clients)

        for client in clients:
            client.transport.feed(few)
        assert answered() < 500
        other.transport.feed(few)
        await turns(20)
        assert other.transport.written.count(b" 404 ") == 10
        assert answered() < 900
        while answered() < 1000:
            await turns(1)

    async def test_a_client_that_leaves_while_it_waits_for_its_turn(self) -> None:
        behind = behind_with_hot()
        client = behind.client()
        client.transport.feed(f"GET /none {OWN}".encode() * 1000)
        client.transport.leave()
        await turns(20)
        assert behind.empty

    async def test_requests_before_a_half_close_are_answered(self) -> None:
        # RFC 9112 §9.6: what the client sent before it closed its side still counts.
        behind = behind_with_hot()
        client = behind.client()
        client.transport.feed(get("/1") + get("/hot") + get("/2"))
        client.transport.feed_eof()
        await turns(50)
        assert bytes(client.transport.written).count(b"200 OK") == 3
        assert client.transport.ended
        assert behind.empty

    async def test_requests_before_a_half_close_of_a_slow_reader(self) -> None:
        behind = behind_with_hot()
        behind.hot.answers["http://a.example/hot"] = FakePrepared(HOT + bytes(70_000))
        client = behind.client()
        client.transport.stalled = True
        client.transport.feed(get("/hot") * 3)
        client.transport.feed_eof()
        while client.transport.pending:
            client.transport.take()
            await turns()
        assert client.transport.written.count(b"HTTP/1.1 200 OK") == 3
        assert behind.empty

    async def test_many_refused_connects_do_not_nest(self) -> None:
        octets = b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
        client = Behind().client()
        await client.send(octets)
        while client.transport.written.count(b"HTTP/1.1 403 ") < 1000:
            await turns()


class TestHot:
    """The short cut: memory answers inside ``data_received``."""

    async def test_no_task_and_remembered_by_its_octets(self) -> None:
        behind = behind_with_hot()
        client = behind.client()
        client.transport.feed(get("/hot"))
        client.transport.feed(get("/hot"))
        assert bytes(client.transport.written) == HOT * 2, "before any turn of the loop"
        assert behind.hot.asked == 1
        assert behind.exchange.requests == []
        assert [record.what.reason for record in behind.records] == [Reason.HIT] * 2

    async def test_a_long_body_follows(self) -> None:
        behind = behind_with_hot()
        behind.hot.answers["http://a.example/hot"] = FakePrepared(b"head ", b"body")
        assert await behind.client().send(get("/hot")) == b"head body"

    async def test_what_is_no_longer_valid_is_asked_for(self) -> None:
        behind = behind_with_hot()
        client = behind.client()
        await client.send(get("/hot"))
        behind.hot.answers.pop("http://a.example/hot").valid = False
        assert (await client.send(get("/hot"))).endswith(b"GET http://a.example/hot ")

    @pytest.mark.parametrize(
        "octets",
        [
            param(get("/hot", minor=0), id="HTTP/1.0"),
            param(get("/hot", "Connection: keep-alive", minor=0), id="HTTP/1.0 kept"),
            param(get("/hot", "Connection: close"), id="close"),
            param(get("/hot", method="POST"), id="another method"),
            param(get("/hot", "Content-Length: 1") + b"x", id="a body"),
        ],
    )
    async def test_not_for(self, octets: bytes) -> None:
        behind = behind_with_hot()
        assert (await behind.client().send(octets)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert behind.hot.asked == 0

    async def test_never_for_a_denied_client(self) -> None:
        behind = behind_with_hot()
        assert await behind.client().send(get("/hot")) == HOT
        denied = behind.client("198.51.100.1")
        assert await denied.send(get("/hot")[:9]) == b""
        answer = await denied.send(get("/hot")[9:])
        assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        whole = await behind.client("198.51.100.1").send(get("/hot"))
        assert whole.startswith(b"HTTP/1.1 403 Forbidden\r\n")

    async def test_while_draining_no_more_than_one(self) -> None:
        behind = behind_with_hot()
        client = behind.client()
        await client.send(get("/hot"))
        behind.door.draining = True
        assert await client.send(get("/hot") * 3) == HOT
        assert client.transport.ended
        assert len(behind.records) == 2

    async def test_inside_a_connect_it_has_a_memory_of_its_own(self) -> None:
        behind = behind_with_hot()
        plain = b"GET /hot HTTP/1.1\r\nHost: a.example\r\n\r\n"
        behind.hot.answers["http://a.example/hot"] = FakePrepared(HOT)
        client = behind.client()
        granted = await client.send(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert granted.startswith(b"HTTP/1.1 200 ")
        assert await client.send(plain) == HOT
        assert await client.send(plain) == HOT
        assert behind.hot.asked == 1
        behind.hot.memo[b"", plain] = cast("Prepared", FakePrepared(b"of another place"))
        assert await client.send(plain) == HOT
        del behind.hot.memo[b"", plain]
        # The same octets outside are a request to the proxy itself.
        assert (await behind.client().send(plain)).startswith(b"HTTP/1.1 404 ")
        other = behind.client()
        await other.send(b"CONNECT b.example:80 HTTP/1.1\r\nHost: b.example\r\n\r\n")
        # And inside another CONNECT they are for another origin.
        assert (await other.send(plain)).endswith(b"GET http://b.example/hot ")


class TestBounds:
    """Promises: Bounds, on heads and connections."""

    @pytest.mark.parametrize(
        ("octets", "status"),
        [
            param(get("/" + "a" * 200), b"414", id="line"),
            param(get("/", "X: " + "a" * 600), b"431", id="head"),
            param(get("/", *["X: a"] * 9), b"431", id="fields"),
        ],
    )
    async def test_of_the_head(self, octets: bytes, status: bytes) -> None:
        limits = LimitOptions(request_head=Octets(500), request_line=Octets(200), fields=8)
        options = ServerOptions(limits=limits)
        assert (await Behind(options).client().send(octets))[9:12] == status
        assert (await Behind(options).client().drip(octets))[9:12] == status

    async def test_connections_in_all(self) -> None:
        behind = Behind(ServerOptions(max_connections=2))
        clients = [behind.client(f"192.0.2.{number}") for number in range(3)]
        answers = [(await client.send(get("/a")))[9:12] for client in clients]
        assert answers == [b"200", b"200", b"503"]
        assert behind.records[-1].what.reason is Reason.TOO_MANY_CONNECTIONS
        for client in clients:
            client.transport.leave()
        await turns()
        assert behind.empty
        assert (await behind.client().send(get("/a")))[9:12] == b"200"

    async def test_connections_of_one_client(self) -> None:
        behind = Behind(ServerOptions(max_connections_per_client=1))
        first, second = behind.client(), behind.client()
        assert (await second.send(get("/a")))[9:12] == b"503"
        assert (await behind.client("192.0.2.2").send(get("/a")))[9:12] == b"200"
        first.transport.leave()
        second.transport.leave()
        await turns()
        assert (await behind.client().send(get("/a")))[9:12] == b"200"

    async def test_one_client_is_an_ipv6_network(self) -> None:
        behind = Behind(ServerOptions(max_connections_per_client=1))
        behind.client("2001:db8::1")
        assert (await behind.client("2001:db8::2").send(get("/a")))[9:12] == b"503"
        assert (await behind.client("2001:db8:0:1::1").send(get("/a")))[9:12] == b"200"

    async def test_one_client_leaves_connections_to_others(self) -> None:
        behind = Behind(ServerOptions(max_connections=8))
        answers = [(await behind.client().send(get("/a")))[9:12] for _ in range(8)]
        assert answers == [b"200"] * 5 + [b"503"] * 3
        assert (await behind.client("192.0.2.2").send(get("/a")))[9:12] == b"200"

    async def test_who_is_turned_away_takes_no_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(door, "TOLD", 5)
        behind = Behind(ServerOptions(max_connections=4, max_connections_per_client=1))
        many = [behind.client() for _ in range(8)]
        assert (await behind.client("192.0.2.2").send(get("/a")))[9:12] == b"200"
        assert [client.transport.aborted for client in many] == [False] * 6 + [True] * 2
        for client in many:
            client.transport.leave()
        await turns()
        assert behind.door.turned_away == 0

    async def test_a_client_that_left_before_it_was_accepted(self) -> None:
        behind = Behind()
        transport = FakeTransport(None)
        transport.attach(behind.client().connection.__class__(behind.door))
        await turns()
        assert transport.aborted
        assert len(behind.door.connections) == 1


class TestRate:
    """``requests_per_second``: of ten seconds at once, then 429 until it is time."""

    LIMITS = LimitOptions(requests_per_second=0.5)

    def behind(self) -> Behind:
        behind = behind_with_hot(ServerOptions(limits=self.LIMITS))
        behind.exchange.answer("/inline", outcome(b"inline"))
        return behind

    @pytest.mark.parametrize(
        "octets",
        [
            param(get("/hot"), id="hot"),
            param(get("/inline"), id="in a task"),
            param(f"GET /none {OWN}".encode(), id="own page"),
            param(b"CONNECT 10.0.0.1:443 " + OWN.encode(), id="refused CONNECT"),
        ],
    )
    @pytest.mark.parametrize("at_once", [False, True])
    async def test_whatever_is_asked_for(self, octets: bytes, at_once: bool) -> None:
        behind = self.behind()
        client = behind.client()
        for part in [octets * 7] if at_once else [octets] * 7:
            client.transport.feed(part)
            await turns(10)
        await turns(30)
        written = bytes(client.transport.written)
        assert written.count(b"HTTP/1.1 ") == 7
        assert written.count(b"HTTP/1.1 429 Too Many Requests\r\n") == 2
        assert written.count(b"Retry-After: 2\r\n") == 2
        assert not client.transport.ended, "it may ask again"
        assert behind.records[-1].what.reason is Reason.TOO_MANY_REQUESTS
        assert (await behind.client("192.0.2.2").send(octets))[9:12] != b"429"

    async def test_a_request_with_a_body_ends_the_connection(self) -> None:
        client = self.behind().client()
        for _ in range(5):
            await client.send(get("/hot"))
        answer = await client.send(f"{POST}Content-Length: 5\r\n\r\nhello".encode())
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert client.transport.ended
