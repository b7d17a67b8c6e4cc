"""Connections that belong to one client connection, over socket pairs."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from proxy.semantics.targets import Origin
from proxy.upstream.base import Lost, Outgoing
from proxy.upstream.bound import MOST, Logins
from proxy.upstream.connection import Connection
from proxy.upstream.options import UpstreamOptions
from proxy.upstream.pool import Pool
from proxy.upstream.response import Response
from proxy.upstream.routes import Direct, Parent, Relayed
from tests.support.build import fields, uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SITE = Origin("http", "a.example", 80)
A = Direct(SITE)
OPTIONS = UpstreamOptions(connections_per_origin=1)
LOGIN = b"HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"


class Rig:
    def __init__(self) -> None:
        self.pool = Pool(OPTIONS)
        self.ends: list[socket.socket] = []
        self.logins = Logins()
        self.logins.begin(SITE)
        bound = self.logins.at(SITE)
        assert bound is not None
        self.bound = bound

    async def pooled(self) -> Connection:
        """A connection that the pool has given out."""
        assert await self.pool.claim(A) is None
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        connection = Connection(OPTIONS, A, "a.example")
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
        self.pool.adopt(connection)
        return connection

    @property
    def places(self) -> str:
        return repr(self.pool)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    rig.logins.close()
    rig.pool.close()
    for end in rig.ends:
        end.close()
    await asyncio.sleep(0)


async def test_its_place_is_free_for_others(rig: Rig) -> None:
    mine = await rig.pooled()
    waiting = asyncio.ensure_future(rig.pooled())
    await asyncio.sleep(0)
    rig.bound.adopt(mine)
    rig.bound.adopt(mine)
    assert await waiting is not mine
    assert rig.places == "<Pool open=1 idle=0 waiting=0>"


async def test_it_comes_back_to_its_client_alone(rig: Rig) -> None:
    mine = await rig.pooled()
    rig.bound.adopt(mine)
    rig.bound.released(mine)
    assert rig.pool.take(A) is None
    assert rig.bound.take(A) is mine
    assert rig.bound.take(A) is None
    assert rig.bound.used


async def test_one_that_goes_another_way_makes_room(rig: Rig) -> None:
    mine = await rig.pooled()
    rig.bound.adopt(mine)
    rig.bound.released(mine)
    assert rig.bound.take(Relayed(Parent("proxy.example", 3128))) is None
    assert mine.closed
    assert rig.bound.take(A) is None


async def test_one_that_has_ended_is_not_taken(rig: Rig) -> None:
    mine = await rig.pooled()
    rig.bound.adopt(mine)
    rig.bound.released(mine)
    rig.ends[0].shutdown(socket.SHUT_WR)
    assert rig.bound.take(A) is None
    assert mine.closed


async def test_one_that_was_closed_before(rig: Rig) -> None:
    mine = await rig.pooled()
    mine.abort()
    rig.bound.adopt(mine)
    assert rig.places == "<Pool open=0 idle=0 waiting=0>"
    with pytest.raises(Lost):
        mine.send(b"", Outgoing("GET", uri("http://a.example/"), fields()))


async def test_it_is_closed_with_its_client(rig: Rig) -> None:
    idle, busy = await rig.pooled(), None
    rig.bound.adopt(idle)
    rig.bound.released(idle)
    busy = await rig.pooled()
    rig.bound.adopt(busy)
    rig.logins.close()
    assert (idle.closed, busy.closed) == (True, False)
    rig.bound.released(busy)
    assert busy.closed
    assert rig.logins.at(SITE) is None


async def test_a_second_one_is_not_kept(rig: Rig) -> None:
    first = await rig.pooled()
    rig.bound.adopt(first)
    rig.bound.released(first)
    second = await rig.pooled()
    rig.bound.adopt(second)
    rig.bound.released(second)
    assert (first.closed, second.closed) == (False, True)
    assert rig.bound.take(A) is first


async def test_there_are_not_too_many(rig: Rig) -> None:
    mine = await rig.pooled()
    rig.bound.adopt(mine)
    rig.bound.released(mine)
    for number in range(MOST):
        rig.logins.begin(Origin("http", f"{number}.example", 80))
        rig.logins.begin(Origin("http", f"{number}.example", 80))
    assert mine.closed
    assert rig.logins.at(SITE) is None
    assert rig.logins.at(Origin("http", "0.example", 80)) is not None


@pytest.mark.parametrize("belongs", [True, False])
async def test_after_an_offer_a_connection_is_for_its_client_or_for_nobody(
    rig: Rig, belongs: bool
) -> None:
    connection = await rig.pooled()
    if belongs:
        rig.bound.adopt(connection)
    request = Outgoing("GET", uri("http://a.example/"), fields("Host: a.example"))
    asking = asyncio.ensure_future(connection.ask(b"octets", request))
    await asyncio.sleep(0)
    connection.data_received(LOGIN)
    assert isinstance(await asking, Response)
    assert rig.pool.take(A) is None
    assert connection.closed is not belongs
