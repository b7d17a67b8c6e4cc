"""CONNECT dials before it says 200; what it dialled serves what comes inside, whatever it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import CLOSE, Gate, Origin, head, reply
from tests.support.rawpeer import Peer, Play, answering
from tests.support.wire import DEADLINE, Wire, request

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House

FRESH = "Cache-Control: max-age=60"
TLS = b"\x16\x03\x01\x00\x05hello"
OK = reply(200, body=b"hello")


async def inside(wire: Wire, authority: str, path: str = "/a") -> tuple[bytes, bool]:
    """One request on a connection on which CONNECT was granted: its body, and whether a hit."""
    await wire.send(request("GET", path, (f"Host: {authority}",)))
    answer = await wire.response()
    return answer.body, answer.hit


async def store(house: House, origin: Origin, at: str = "") -> None:
    """Have /a stored, and every connection to the origin closed."""
    origin.serve("/a", head(200, FRESH, "Connection: close", "Content-Length: 6"), b"stored", CLOSE)
    url = f"{at}/a" if at else origin.url("/a")
    await house.get(url)
    await house.running.door.exchange.settled(url)
    assert (await house.get(url)).hit


class Listener:
    """A server that notes the first ``size`` octets of each connection, and answers once."""

    def __init__(self, size: int) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._size = size

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.put_nowait(await reader.readexactly(self._size))
        writer.write(b"heard")
        await reader.read()

    async def first(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.heard.get()


async def test_connect_inside_connect_and_so_on(
    house: House, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """However many come at once: neither the stack nor what is kept for the connection grows."""
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    lines, times = (f"Host: {origin.authority}",), 1000
    wire = await house.tunnel(origin.authority)
    assert await inside(wire, origin.authority) == (b"hello", False)
    again = request("CONNECT", origin.authority, lines) + request("GET", "/a", lines)
    sending = asyncio.create_task(wire.send(times * again))
    for _ in range(times):
        assert (await wire.head()).status == 200
        assert (await wire.response()).hit
    await sending
    assert not caplog.records
    known = house.running.door.hearing._known
    assert max(map(len, known)) < 2 * len(again)


class TestOneConnection:
    """What was dialled is not dialled twice."""

    async def test_it_serves_the_first_miss(self, house: House, origin: Origin) -> None:
        origin.serve("/a", reply(200, body=b"hello"))
        wire = await house.tunnel(origin.authority)
        assert origin.connections == 1
        assert await inside(wire, origin.authority) == (b"hello", False)
        assert await inside(wire, origin.authority) == (b"hello", False)
        assert origin.connections == 1

    async def test_one_connect_after_another(self, house: House, origin: Origin) -> None:
        for number in range(5):
            origin.serve(f"/{number}", reply(200, FRESH, body=b"%d" % number))
            wire = await house.tunnel(origin.authority)
            assert await inside(wire, origin.authority, f"/{number}") == (b"%d" % number, False)
            await wire.close()
        assert origin.connections == 1

    async def test_requests_without_connect_use_it_too(self, house: House, origin: Origin) -> None:
        await store(house, origin)
        origin.serve("/b", reply(200, body=b"miss"))
        before = origin.connections
        wire = await house.tunnel(origin.authority)
        assert await inside(wire, origin.authority) == (b"stored", True)
        assert (await house.get(origin.url("/b"))).body == b"miss"
        assert origin.connections == before + 1, "what a hit did not need was there for others"

    async def test_an_idle_one_is_proof_enough_and_tls_gets_its_own(
        self, start_house: StartHouse
    ) -> None:
        heard = Listener(len(TLS))

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await (answering(OK) if peer.connections == 1 else heard)(reader, writer)

        async with Peer(play) as peer:
            authority = f"127.0.0.1:{peer.port}"
            house = await start_house(ports=(peer.port,))
            assert (await house.get(f"http://{authority}/")).status == 200
            wire = await house.tunnel(authority)
            assert peer.connections == 1
            await wire.send(TLS)
            assert await heard.first() == TLS
            assert await wire.exactly(5) == b"heard"
            assert peer.connections == 2
            await wire.close()

    async def test_a_client_that_says_nothing_leaves_nothing(self, start_house: StartHouse) -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with Peer(play) as peer:
            house = await start_house(ports=(peer.port,))
            wire = await house.tunnel(f"127.0.0.1:{peer.port}")
            await wire.close()
            async with asyncio.timeout(DEADLINE):
                await peer.ended.get()


class TestUnreachable:
    """A CONNECT that leads nowhere, and what is stored for it."""

    async def test_what_is_stored_is_served(self, house: House, origin: Origin) -> None:
        await store(house, origin)
        await origin.stop()
        wire = await house.tunnel(origin.authority)
        assert await inside(wire, origin.authority) == (b"stored", True)
        await wire.send(request("GET", "/miss", (f"Host: {origin.authority}",)))
        answer = await wire.response()
        assert answer.status == 502
        assert answer.proxy_status["error"] == "connection_refused"
        assert await inside(wire, origin.authority) == (b"stored", True)

    async def test_what_is_stored_for_another_authority_is_not(
        self, start_house: StartHouse, origin: Origin
    ) -> None:
        other = Origin()
        await other.start()
        await other.stop()
        house = await start_house(ports=(other.port,))
        await store(house, origin)
        answer = await house.get(other.authority, method="CONNECT")
        assert answer.status == 502

    async def test_a_name_that_nobody_knows(self, start_house: StartHouse) -> None:
        house = await start_house()
        answer = await house.get("nobody.invalid:80", method="CONNECT")
        assert answer.status in (502, 504)
        assert answer.proxy_status["error"] in ("dns_error", "dns_timeout")

    async def test_what_is_about_to_be_stored_counts(self, house: House, origin: Origin) -> None:
        gate, stored = Gate(), house.running.door.stored
        origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"sto", gate, b"red")
        assert not await stored(f"http://{origin.authority}/")
        reader = await house.open(origin.url("/a"))
        assert await reader.read(3) == b"sto"
        assert await stored(f"http://{origin.authority}/")
        assert not await stored("http://another.example/")
        gate.open()
        assert await reader.rest() == b"red"

    async def test_access_says_no_whatever_is_stored(
        self, start_house: StartHouse, origin: Origin
    ) -> None:
        house, authority = await start_house(), f"localhost:{origin.port}"
        await store(house, origin, f"http://{authority}")
        cache = str(house.running.settings.store.dir)
        denied = {"deny_destinations": ["loopback"]}
        house = await start_house({"cache": {"dir": cache}, "access": denied})
        assert await house.running.door.stored(f"http://{authority}/")
        answer = await house.get(authority, method="CONNECT")
        assert answer.status == 403


class TestSilence:
    """Whoever speaks first, and how long we wait for him."""

    async def test_a_server_that_leaves_without_a_word(self, start_house: StartHouse) -> None:
        async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write_eof()

        async with Peer(play) as peer:
            house = await start_house(ports=(peer.port,))
            wire = await house.tunnel(f"127.0.0.1:{peer.port}")
            assert await wire.rest() == b""
            assert peer.connections == 1

    async def test_a_server_that_leaves_while_the_connection_is_idle(
        self, house: House, origin: Origin
    ) -> None:
        # As with any other connection that is reused: a request that may be repeated is.
        await store(house, origin)
        wire = await house.tunnel(origin.authority)
        assert await inside(wire, origin.authority) == (b"stored", True)
        await origin.stop()
        await origin.start()
        origin.serve("/b", reply(200, body=b"fresh"))
        assert await inside(wire, origin.authority, "/b") == (b"fresh", False)

    async def test_a_request_that_is_lost_on_it_is_repeated(self, start_house: StartHouse) -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if peer.connections == 1:
                await reader.readuntil(b"\r\n\r\n")
            else:
                await answering(OK)(reader, writer)

        async with Peer(play) as peer:
            authority = f"127.0.0.1:{peer.port}"
            house = await start_house(ports=(peer.port,))
            wire = await house.tunnel(authority)
            assert await inside(wire, authority) == (b"hello", False)
            assert peer.connections == 2

    @pytest.mark.parametrize("octets", [b"six", b"EARLY-", b"GET", b"G"])
    async def test_too_few_octets_to_tell(self, start_house: StartHouse, octets: bytes) -> None:
        heard = Listener(len(octets))
        async with Peer(heard) as peer:
            house = await start_house(ports=(peer.port,))
            wire = await house.tunnel(f"127.0.0.1:{peer.port}")
            await wire.send(octets)
            assert await heard.first() == octets
            assert await wire.exactly(5) == b"heard"
            await wire.close()

    async def test_too_few_octets_and_no_more_to_come(self, start_house: StartHouse) -> None:
        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"%d octets" % len(await reader.read()))
            await writer.drain()

        async with Peer(count) as peer:
            house = await start_house(ports=(peer.port,))
            wire = await house.tunnel(f"127.0.0.1:{peer.port}")
            await wire.send(b"six")
            await wire.half_close()
            assert await wire.rest() == b"3 octets"

    async def test_a_request_that_comes_in_pieces(self, house: House, origin: Origin) -> None:
        origin.serve("/a", reply(200, FRESH, body=b"hello"))
        wire = await house.tunnel(origin.authority)
        whole = request("GET", "/a", (f"Host: {origin.authority}",))
        for piece in (whole[:1], whole[1:4], whole[4:]):
            await wire.send(piece)
        assert (await wire.response()).get("via") is not None


class TestThroughAParent:
    """CONNECT asks the parent for a tunnel first; plain HTTP inside is relayed."""

    @staticmethod
    def parent(connect: bytes, asked: list[bytes]) -> Play:
        """Answers CONNECT so, and everything else with 200."""

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b" HTTP/1.1\r\n")[0])
                writer.write(connect if asked[-1].startswith(b"CONNECT ") else OK)

        return play

    @pytest.mark.parametrize("status", [502, 503, 504])
    async def test_what_it_cannot_reach(self, start_house: StartHouse, status: int) -> None:
        async with Peer(self.parent(reply(status), asked := list[bytes]())) as peer:
            house = await start_house({"upstream": {"parent": f"http://127.0.0.1:{peer.port}"}})
            answer = await house.get("a.example:80", method="CONNECT")
            assert answer.status == status
            assert asked == [b"CONNECT a.example:80"]

    async def test_plain_http_is_relayed(self, start_house: StartHouse) -> None:
        granted = b"HTTP/1.1 200 OK\r\n\r\n"
        async with Peer(self.parent(granted, asked := list[bytes]())) as peer:
            house = await start_house({"upstream": {"parent": f"http://127.0.0.1:{peer.port}"}})
            for path in ("/a", "/b"):
                wire = await house.tunnel("a.example:80")
                assert await inside(wire, "a.example", path) == (b"hello", False)
                await wire.close()
            assert asked == [
                b"CONNECT a.example:80", b"GET http://a.example/a", b"GET http://a.example/b",
            ]  # fmt: skip
            assert peer.connections == 2

    @pytest.mark.parametrize("status", [403, 405, 501])
    async def test_one_that_tunnels_to_no_such_port_relays_all_the_same(
        self, start_house: StartHouse, status: int
    ) -> None:
        async with Peer(self.parent(reply(status), [])) as peer:
            house = await start_house({"upstream": {"parent": f"http://127.0.0.1:{peer.port}"}})
            wire = await house.tunnel("a.example:80")
            assert await inside(wire, "a.example") == (b"hello", False)
            answer = await house.get("a.example:443", method="CONNECT")
            assert answer.status == 502, "what would come there is no plain HTTP"


async def test_a_server_that_speaks_first_and_a_request_at_once(start_house: StartHouse) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await writer.drain()
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()

    async with Peer(greet) as peer:
        house = await start_house(ports=(peer.port,))
        wire = await house.tunnel(f"127.0.0.1:{peer.port}")
        assert await wire.exactly(11) == b"220 ready\r\n"
        await wire.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await wire.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        await wire.close()
