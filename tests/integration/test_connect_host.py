"""Inside CONNECT, a Host that is not the authority's: passed on as it is, and past the cache."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Gate, Origin, head, reply
from tests.support.rawpeer import Peer
from tests.support.wire import Response, Wire, request

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House

FRESH = "Cache-Control: max-age=60"
OTHER = "Elsewhere.test"


async def ask(wire: Wire, host: str, path: str = "/a", method: str = "GET") -> Response:
    await wire.send(request(method, path, (f"Host: {host}",)))
    return await wire.response(method)


@pytest.mark.parametrize("host", [OTHER, "elsewhere.test:80", "127.0.0.1", "127.0.0.1:1"])
async def test_it_goes_to_the_authority_as_written(house: House, origin: Origin, host: str) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    wire = await house.tunnel(origin.authority)
    for _ in range(3):
        answer = await ask(wire, host)
        assert (answer.status, answer.body, answer.hit) == (200, b"hello", False)
        assert answer.cache_status["detail"] == "request-other-host"
    assert [received.all("host") for received in origin.requests] == [[host]] * 3
    assert origin.connections == 1


async def test_it_neither_reads_nor_writes_the_cache(house: House, origin: Origin) -> None:
    def say(text: str) -> None:
        origin.serve("/a", reply(200, FRESH, f'ETag: "{text}"', body=text.encode()))

    say("ours")
    wire = await house.tunnel(origin.authority)
    assert (await ask(wire, origin.authority)).body == b"ours"
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        say(f"theirs {method}")
        answer = await ask(wire, OTHER, method=method)
        assert answer.get("etag") == f'"theirs {method}"'
    answer = await ask(wire, origin.authority)
    assert (answer.body, answer.hit) == (b"ours", True)
    assert (await house.get(origin.url("/a"))).hit


async def test_what_it_posts_is_not_stored(start_house: StartHouse, origin: Origin) -> None:
    house = await start_house({"rules": [{"match": "http://*/**", "store_post": True}]})
    origin.serve("/a", reply(200, FRESH, "Content-Location: /a", body=b"posted"))
    origin.serve("/a", reply(200, FRESH, body=b"got"))
    wire = await house.tunnel(origin.authority)
    assert (await ask(wire, OTHER, method="POST")).body == b"posted"
    assert (await ask(wire, origin.authority)).body == b"got"


async def test_groups_are_not_invalidated(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'Cache-Groups: "g"', body=b"ours"))
    origin.serve("/b", reply(200, 'Cache-Group-Invalidation: "g"'))
    wire = await house.tunnel(origin.authority)
    await ask(wire, origin.authority)
    await ask(wire, OTHER, "/b", "POST")
    assert (await ask(wire, origin.authority)).hit


async def test_it_is_not_collapsed(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 5"), gate, b"hello")
    wires = [await house.tunnel(origin.authority) for _ in range(3)]
    hosts = (OTHER, OTHER, origin.authority)
    asking = [asyncio.ensure_future(ask(w, h)) for w, h in zip(wires, hosts, strict=True)]
    await origin.seen(3)
    gate.open()
    assert [answer.body for answer in await asyncio.gather(*asking)] == [b"hello"] * 3


async def test_the_same_fields_outside_name_the_origin(house: House, origin: Origin) -> None:
    # RFC 9112 §3.2.2: a proxy ignores the Host of an absolute-form request.
    origin.serve("/a", reply(200, body=b"hello"))
    wire = await house.tunnel(origin.authority)
    await ask(wire, OTHER)
    await house.get(origin.url("/a"), f"Host: {OTHER}")
    await ask(wire, OTHER)
    hosts = [received.get("host") for received in origin.requests]
    assert hosts == [OTHER, origin.authority, OTHER]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((f"Host: {OTHER}", f"Host: {OTHER}"), id="two"),
        pytest.param(("Host: a:b",), id="invalid"),
        pytest.param(("Host: a.example:x",), id="no port"),
        pytest.param(("Host: a b",), id="two words"),
    ],
)
async def test_what_is_no_host_is_refused(
    house: House, origin: Origin, lines: tuple[str, ...]
) -> None:
    wire = await house.tunnel(origin.authority)
    await wire.send("\r\n".join(["GET /a HTTP/1.1", *lines, "", ""]).encode())
    assert (await wire.response()).status == 400
    assert origin.requests == []


async def test_through_a_parent_it_goes_by_a_tunnel(start_house: StartHouse) -> None:
    # RFC 9112 §3.2.2: a relayed request would lose the Host that it was written with.
    asked: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(
                b"HTTP/1.1 200 OK\r\n\r\n"
                if b"CONNECT " in asked[-1]
                else reply(200, body=b"hello")
            )

    async with Peer(play) as peer:
        house = await start_house({"upstream": {"parent": f"http://127.0.0.1:{peer.port}"}})
        wire = await house.tunnel("a.example:80")
        assert (await ask(wire, OTHER)).body == b"hello"
        assert (await ask(wire, "a.example")).body == b"hello"
    starts = [octets.partition(b" HTTP/1.1\r\n")[0] for octets in asked]
    assert starts == [b"CONNECT a.example:80", b"GET /a", b"GET http://a.example/a"]
    assert f"\r\nHost: {OTHER}\r\n".encode() in asked[1]
    assert peer.connections == 2
