"""Client connections: persistent, pipelined, HTTP/1.0; and the pool behind them."""

import asyncio
import socket

import pytest

from proxy.frontend import leaving
from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import CLOSE, Gate, Origin, chunked, head, reply
from tests.support.rawpeer import Peer
from tests.support.wire import DEADLINE, Cut, Incoming, request

FRESH = "Cache-Control: max-age=60"


async def test_keep_alive_and_a_pooled_origin_connection(house: House, origin: Origin) -> None:
    wire = await house.wire()
    for number in range(5):
        origin.serve(f"/{number}", reply(200, body=b"%d" % number))
        await wire.send(request("GET", origin.url(f"/{number}")))
        assert (await wire.response()).body == b"%d" % number
    assert origin.connections == 1


async def test_connection_close_is_obeyed(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"x"))
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/a"), ("Connection: close",)))
    answer = await wire.response()
    assert answer.get("connection") == "close"
    assert await wire.rest() == b""


async def test_pipelined_requests_are_answered_in_order(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/slow", gate, reply(200, body=b"slow"))
    origin.serve("/fast", reply(200, FRESH, body=b"fast"))
    await house.get(origin.url("/fast"))
    wire = await house.wire()
    both = request("GET", origin.url("/slow")) + request("GET", origin.url("/fast"))
    await wire.send(both + request("POST", origin.url("/fast"), (), b"body"))
    await gate.reached()
    gate.open()
    assert (await wire.response()).body == b"slow"
    assert (await wire.response()).body == b"fast"
    assert (await wire.response()).body == b"fast"
    assert origin.requests[-1].body == b"body"


async def test_many_pipelined_hits(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await house.get(origin.url("/a"))
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/a")) * 500)
    for _ in range(500):
        assert (await wire.response()).body == b"hello"
    assert len(origin.requests) == 1


async def test_http_1_0_closes_by_default(house: House, origin: Origin) -> None:
    origin.serve("/a", head(200, FRESH, "Transfer-Encoding: chunked") + chunked(b"one", b"two"))
    for _ in range(2):
        raw = await house.raw(request("GET", origin.url("/a"), minor=0))
        lines, _, body = raw.partition(b"\r\n\r\n")
        assert lines.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in lines.lower()
        assert body == b"onetwo"


async def test_http_1_0_keep_alive(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    wire = await house.wire()
    for _ in range(2):
        fields = ("Connection: keep-alive",)
        await wire.send(request("GET", origin.url("/a"), fields, minor=0))
        answer = await wire.response()
        assert answer.body == b"hello"
        assert (answer.get("connection") or "").lower() == "keep-alive"


async def test_http_1_0_without_host(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"hello"))
    raw = await house.raw(f"GET {origin.url('/a')} HTTP/1.0\r\n\r\n".encode())
    assert raw.endswith(b"hello")
    assert origin.requests[0].all("host") == [origin.authority]


async def test_an_http_1_0_client_can_tell_a_cut_body(house: House, origin: Origin) -> None:
    # Promise 10: without a length the close is the end, so a cut is told by a reset.
    gate = Gate()
    cut = head(200, "Cache-Control: no-store", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n"
    origin.serve("/a", cut, gate, CLOSE)
    incoming = await house.open(origin.url("/a"), minor=0)
    assert await incoming.read(5) == b"hello"
    gate.open()
    with pytest.raises((Cut, ConnectionResetError)):
        await incoming.rest()


async def test_an_http_1_0_origin(house: House, origin: Origin) -> None:
    origin.serve("/a", b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nuntil close", CLOSE)
    for hit in (False, True):
        answer = await house.get(origin.url("/a"))
        assert (answer.body, answer.hit) == (b"until close", hit)


async def test_a_get_lost_on_a_reused_connection_is_sent_again(
    house: House, origin: Origin
) -> None:
    origin.serve("/a", reply(200, body=b"first"))
    origin.serve("/b", CLOSE)
    origin.serve("/b", reply(200, body=b"second try"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/b"))).body == b"second try"
    assert connections(origin) == [1, 1, 2]


async def test_a_post_lost_is_not_sent_again(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, body=b"first"))
    origin.serve("/b", CLOSE)
    origin.serve("/b", reply(200, body=b"never"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/b"), method="POST", body=b"x")).status == 502
    assert origin.count("/b") == 1


def connections(origin: Origin) -> list[int]:
    return [received.connection for received in origin.requests]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(reply(200, "Connection: close", body=b"x"), id="close announced"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", id="HTTP/1.0"),
        pytest.param(reply(200, body=b"x") + b"HTTP/1.1 200 OK\r\n", id="octets left over"),
        pytest.param(head(204) + b"junk", id="octets behind a 204"),
    ],
)
async def test_origin_connections_not_to_be_reused(
    house: House, origin: Origin, first: bytes
) -> None:
    origin.serve("/a", first)
    origin.serve("/b", reply(200, body=b"clean"))
    await house.get(origin.url("/a"))
    assert (await house.get(origin.url("/b"))).body == b"clean"
    assert connections(origin) == [1, 2]


async def test_the_end_of_a_client_ends_its_wait(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200))
    incoming = await house.open(origin.url("/a"), method="POST", body=b"x")
    await gate.reached()
    await incoming.wire.reset()
    assert (await house.get("/healthz")).status == 200
    gate.open()


async def test_a_client_that_half_closes_is_answered(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, body=b"hello"))
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/a")))
    await wire.half_close()
    await gate.reached()
    gate.open()
    assert (await Incoming(wire).rest()) == b"hello"


@pytest.mark.skipif(not hasattr(socket, "TCP_LINGER2"), reason="its system forgets in its own time")
async def test_a_client_that_has_left_is_told_from_one_that_has_closed_its_side(
    start_house: StartHouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However patient we are: what a client does not wait for any more takes nothing of its share.

    The system of the one that has left forgets its connection after a second, here.
    """
    monkeypatch.setattr(leaving, "PROBE", 1)
    gate = Gate()
    origin.serve("/stays", gate, reply(200, body=b"hello"))
    house = await start_house({"server": {"max_connections_per_client": 2}}, (origin.port,))

    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    stays, leaves = await house.wire(), await house.wire()
    await stays.send(request("GET", origin.url("/stays")))
    await stays.half_close()
    await gate.reached()
    async with Peer(silent) as peer:
        await leaves.send(request("GET", f"http://127.0.0.1:{peer.port}/a"))
        sock = leaves.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
        async with asyncio.timeout(DEADLINE):
            await asked.wait()
            await leaves.close()
            await peer.ended.get()
    gate.open()
    assert (await Incoming(stays).rest()) == b"hello"


async def test_heads_of_both_versions_on_one_wire(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    wire = await house.wire()
    await wire.send(request("GET", origin.url("/a")))
    assert (await wire.response()).body == b"hello"
    await wire.send(request("GET", origin.url("/a"), minor=0))
    assert (await wire.response()).body == b"hello"
    assert await wire.rest() == b""
