from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from proxy.semantics.targets import Origin
from proxy.semantics.units import Seconds
from proxy.upstream.base import NotReached
from proxy.upstream.connection import Connection
from proxy.upstream.options import UpstreamOptions
from proxy.upstream.pool import Pool
from proxy.upstream.routes import Direct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A, B = (Direct(Origin("http", host, 80)) for host in ("a.example", "b.example"))


class Told(Pool):
    """A pool that says when a connection is gone."""

    def __init__(self, options: UpstreamOptions) -> None:
        super().__init__(options)
        self.lost: asyncio.Queue[Connection] = asyncio.Queue()

    def gone(self, connection: Connection) -> None:
        super().gone(connection)
        self.lost.put_nowait(connection)


class Rig:
    """A pool, and connections over socket pairs; ``ends`` are the origins' ends."""

    def __init__(self, options: UpstreamOptions) -> None:
        self.options = options
        self.pool = Told(options)
        self.ends: dict[Connection, socket.socket] = {}

    async def connection(self, route: Direct, client: str = "") -> Connection:
        """What somebody who wants to send a request gets, opened if need be."""
        found = self.pool.take(route, client=client) or await self.pool.claim(route, client)
        if found is not None:
            return found
        connection = await self.opened(route)
        self.pool.adopt(connection, client)
        return connection

    async def opened(self, route: Direct) -> Connection:
        ours, theirs = socket.socketpair()
        connection = Connection(self.options, route, "a.example")
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
        self.ends[connection] = theirs
        return connection


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    options: UpstreamOptions = getattr(request, "param", UpstreamOptions(connections_per_origin=2))
    rig = Rig(options)
    yield rig
    rig.pool.close()
    for end in rig.ends.values():
        end.close()
    await asyncio.sleep(0)


async def test_last_in_first_out(rig: Rig) -> None:
    first, second = [await rig.connection(A) for _ in "ab"]
    rig.pool.released(first)
    rig.pool.released(second)
    assert await rig.connection(A) is second
    assert await rig.connection(B) is not first


async def test_who_waits_is_served_in_turn(rig: Rig) -> None:
    first, second = [await rig.connection(A) for _ in "ab"]
    waiting = [asyncio.ensure_future(rig.connection(A)) for _ in range(3)]
    await asyncio.sleep(0)
    assert repr(rig.pool) == "<Pool open=2 idle=0 waiting=3>"
    rig.pool.released(first)
    assert await waiting[0] is first
    second.abort()
    third = await waiting[1]
    assert third not in (first, second)
    rig.pool.released(third)
    assert await waiting[2] is third
    assert repr(rig.pool) == "<Pool open=2 idle=0 waiting=0>"


@pytest.mark.parametrize("served", [False, True])
async def test_whoever_leaves_the_queue_gives_back_what_he_got(rig: Rig, served: bool) -> None:
    first, _ = [await rig.connection(A) for _ in "ab"]
    leaving, next_one = [asyncio.ensure_future(rig.connection(A)) for _ in "ab"]
    await asyncio.sleep(0)
    if served:
        rig.pool.released(first)
    leaving.cancel()
    if not served:
        await asyncio.sleep(0)
        rig.pool.released(first)
    assert await next_one is first
    assert leaving.cancelled()


async def test_a_slot_given_back_goes_to_the_next(rig: Rig) -> None:
    first, _ = [await rig.connection(A) for _ in "ab"]
    leaving, next_one = [asyncio.ensure_future(rig.connection(A)) for _ in "ab"]
    await asyncio.sleep(0)
    first.abort()
    leaving.cancel()
    assert await next_one is not first
    assert leaving.cancelled()


@pytest.mark.parametrize(
    "rig",
    [UpstreamOptions(connections_per_origin=1, connect_total_timeout=Seconds(0.01))],
    indirect=True,
)
async def test_waiting_ends(rig: Rig) -> None:
    await rig.connection(A)
    with pytest.raises(NotReached) as caught:
        await rig.connection(A)
    assert (caught.value.status, caught.value.word) == (503, "connection_limit_reached")
    assert repr(rig.pool) == "<Pool open=1 idle=0 waiting=0>"


async def test_fresh_means_fresh(rig: Rig) -> None:
    first, second = [await rig.connection(A) for _ in "ab"]
    waiting = asyncio.ensure_future(rig.pool.claim(A, fresh=True))
    await asyncio.sleep(0)
    rig.pool.released(first)
    assert await waiting is None
    assert first.closed
    rig.pool.abandon(A)
    rig.pool.released(second)
    assert await rig.pool.claim(A, fresh=True) is None
    rig.pool.abandon(A)


async def test_a_connection_that_dies_on_its_way_to_who_waits(rig: Rig) -> None:
    """Its slot is free again, whether it is still wanted, or fresh ones alone, or not at all."""
    dying, other = [await rig.connection(A) for _ in "ab"]
    fresh = asyncio.ensure_future(rig.pool.claim(A, fresh=True))
    await asyncio.sleep(0)
    rig.pool.released(dying)
    dying.abort()
    assert await fresh is None
    rig.pool.abandon(A)
    dying = await rig.connection(A)
    leaving = asyncio.ensure_future(rig.pool.claim(A))
    await asyncio.sleep(0)
    rig.pool.released(dying)
    dying.abort()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    other.abort()
    assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"
    assert len({await rig.connection(A) for _ in "ab"}) == 2


async def test_an_idle_connection_that_says_something_is_not_used(rig: Rig) -> None:
    first = await rig.connection(A)
    rig.pool.released(first)
    rig.ends[first].send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert await rig.connection(A) is not first
    assert first.closed


@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_an_idle_connection_that_ends_is_forgotten(rig: Rig, octets: bytes) -> None:
    first = await rig.connection(A)
    rig.pool.released(first)
    rig.ends[first].send(octets)
    rig.ends[first].shutdown(socket.SHUT_WR)
    assert await rig.pool.lost.get() is first
    assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"


@pytest.mark.parametrize("rig", [UpstreamOptions(idle_connections=1)], indirect=True)
async def test_the_oldest_idle_connection_goes(rig: Rig) -> None:
    first, second = await rig.connection(A), await rig.connection(B)
    rig.pool.released(first)
    rig.pool.released(second)
    assert first.closed
    assert await rig.connection(B) is second


@pytest.mark.parametrize("rig", [UpstreamOptions(keep_alive=Seconds(0.02))], indirect=True)
async def test_idle_connections_expire(rig: Rig) -> None:
    connections = [await rig.connection(route) for route in (A, B)]
    for connection in connections:
        rig.pool.released(connection)
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    assert [await rig.pool.lost.get() for _ in connections] == connections
    assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"


async def test_not_used_for_longer_than_the_origin_allows(rig: Rig) -> None:
    first = await rig.connection(A)
    first.keep_alive = 0.0
    rig.pool.released(first)
    assert await rig.connection(A) is not first
    assert first.closed


async def test_what_cannot_be_repeated_gets_one_that_was_used_just_now(rig: Rig) -> None:
    first = await rig.connection(A)
    rig.pool.released(first)
    assert rig.pool.take(A, rested=1.0) is first
    rig.pool.released(first)
    assert rig.pool.take(A, rested=0.0) is None
    assert first.closed


async def test_close(rig: Rig) -> None:
    busy, idle = await rig.connection(A), await rig.connection(B)
    rig.pool.released(idle)
    await rig.connection(A)
    waiting = asyncio.ensure_future(rig.connection(A))
    await asyncio.sleep(0)
    rig.pool.close()
    with pytest.raises(NotReached, match="shutting down"):
        await waiting
    assert busy.closed
    assert idle.closed
    late = await rig.connection(B)
    assert late.closed


async def test_a_connection_that_died_young_frees_its_slot(rig: Rig) -> None:
    assert await rig.pool.claim(A) is None
    dead = await rig.opened(A)
    dead.abort()
    rig.pool.adopt(dead)
    assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"
    assert len({await rig.connection(A) for _ in "ab"}) == 2


async def test_whether_there_is_an_idle_one(rig: Rig) -> None:
    assert not rig.pool.has_idle(A)
    first, second = [await rig.connection(A) for _ in "ab"]
    assert not rig.pool.has_idle(A)
    for connection in (first, second):
        rig.pool.released(connection)
    assert rig.pool.has_idle(A)
    assert not rig.pool.has_idle(B)
    rig.ends[second].close()
    assert rig.pool.has_idle(A), "the other one lives"
    first.keep_alive = 0.0
    assert not rig.pool.has_idle(A)


async def test_one_that_was_opened_without_a_slot(rig: Rig) -> None:
    added = await rig.opened(A)
    rig.pool.add(added)
    assert repr(rig.pool) == "<Pool open=1 idle=1 waiting=0>"
    assert await rig.connection(A) is added
    await rig.connection(A)
    third = await rig.opened(A)
    rig.pool.add(third)
    assert third.closed, "there are two slots"
    added.abort()
    dead = await rig.opened(A)
    dead.abort()
    rig.pool.add(dead)
    assert repr(rig.pool) == "<Pool open=1 idle=0 waiting=0>"


async def test_one_that_comes_after_the_end(rig: Rig) -> None:
    rig.pool.close()
    added = await rig.opened(A)
    rig.pool.add(added)
    assert added.closed
    assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"


@pytest.mark.parametrize("rig", [UpstreamOptions(connections_per_origin=4)], indirect=True)
class TestShares:
    """One client leaves others some of the connections, and waits in a line of its own."""

    async def test_an_idle_connection_is_not_for_who_has_its_share(self, rig: Rig) -> None:
        mine = [await rig.connection(A, "a") for _ in range(3)]
        other = await rig.connection(A, "b")
        rig.pool.released(other)
        assert rig.pool.take(A, client="a") is None
        waiting = asyncio.ensure_future(rig.connection(A, "a"))
        await asyncio.sleep(0)
        assert await rig.connection(A, "b") is other
        rig.pool.released(mine[0])
        assert repr(rig.pool) == "<Pool open=4 idle=1 waiting=1>", "there is one left for others"
        rig.pool.released(mine[1])
        assert await waiting is mine[1]

    async def test_the_lines_take_turns(self, rig: Rig) -> None:
        held = [await rig.connection(A, client) for client in "aaab"]
        many = [asyncio.ensure_future(rig.connection(A, "a")) for _ in range(3)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(rig.connection(A, "b"))
        third = asyncio.ensure_future(rig.connection(A, "c"))
        await asyncio.sleep(0)
        for connection, turn in zip(held, (other, many[0], third), strict=False):
            rig.pool.released(connection)
            assert await turn is connection
        for turn in many:
            turn.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        assert repr(rig.pool) == "<Pool open=4 idle=0 waiting=0>"

    async def test_a_fresh_one_takes_the_place_of_one_that_is_idle(self, rig: Rig) -> None:
        connections = [await rig.connection(A, client) for client in "aabb"]
        for connection in connections:
            rig.pool.released(connection)
        assert await rig.pool.claim(A, "a", fresh=True) is None
        assert connections[0].closed
        assert repr(rig.pool) == "<Pool open=3 idle=3 waiting=0>"
        rig.pool.abandon(A, "a")

    async def test_what_is_given_back_is_counted_no_more(self, rig: Rig) -> None:
        """However a connection ends, or a slot."""
        for _ in range(3):
            first, second, third = [await rig.connection(A, "a") for _ in range(3)]
            first.abort()
            rig.pool.released(second)
            rig.pool.released(third)
            assert await rig.pool.claim(A, "a") is None
            rig.pool.abandon(A, "a")
            second.abort()
            third.abort()
        assert repr(rig.pool) == "<Pool open=0 idle=0 waiting=0>"


@pytest.mark.parametrize("rig", [UpstreamOptions(connections_per_origin=5)], indirect=True)
@pytest.mark.parametrize("idle", [True, False], ids=["an idle one", "a slot"])
async def test_what_one_gives_back_may_let_itself_have_what_is_left(rig: Rig, idle: bool) -> None:
    mine = [await rig.connection(A, "a") for _ in range(2)]
    theirs = [await rig.connection(A, "b") for _ in range(2)]
    spare = await rig.connection(A, "c")
    if idle:
        rig.pool.released(spare)
    else:
        spare.abort()
    first = asyncio.ensure_future(rig.connection(A, "b"))
    second = asyncio.ensure_future(rig.connection(A, "a"))
    await asyncio.sleep(0)
    rig.pool.released(mine[0])
    assert await first is mine[0]
    got = await asyncio.wait_for(second, 5)
    assert (got is spare) is idle
    assert got not in (*mine, *theirs)


async def test_who_leaves_just_before_its_turn_leaves_well(rig: Rig) -> None:
    first, _ = [await rig.connection(A) for _ in "ab"]
    leaving, staying = [asyncio.ensure_future(rig.connection(A)) for _ in "ab"]
    await asyncio.sleep(0)
    leaving.cancel()
    rig.pool.released(first)
    assert await staying is first
    with pytest.raises(asyncio.CancelledError):
        await leaving
