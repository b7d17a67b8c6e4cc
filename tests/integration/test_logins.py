"""NTLM and Negotiate log a connection in (RFC 4559 §6): it is its client's, and no other's."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.login import LoginOrigin, ask, first, log_in, second
from tests.support.rawpeer import Peer
from tests.support.wire import DEADLINE

SCHEMES = pytest.mark.parametrize("site", ["NTLM", "Negotiate"], indirect=True)
ALICE, BOB = "alice", "bob"


class Site:
    """An origin with logins behind a proxy."""

    def __init__(self, origin: LoginOrigin, peer: Peer, house: House) -> None:
        self.origin = origin
        self.peer = peer
        self.house = house

    @property
    def scheme(self) -> str:
        return self.origin.scheme

    def url(self, path: str = "/a") -> str:
        return f"http://127.0.0.1:{self.peer.port}{path}"

    async def ended(self) -> None:
        """Until one more connection to the origin has ended."""
        async with asyncio.timeout(DEADLINE):
            await self.peer.ended.get()


@pytest.fixture
async def site(
    request: pytest.FixtureRequest, no_leaks: None, start_house: StartHouse
) -> AsyncIterator[Site]:
    origin = LoginOrigin(getattr(request, "param", "NTLM"))
    async with Peer(origin) as peer:
        yield Site(origin, peer, await start_house(ports=(peer.port,)))


@SCHEMES
@pytest.mark.parametrize("stays", [True, False], ids=["while it is open", "after it has closed"])
async def test_another_client_is_asked_for_its_own(site: Site, stays: bool) -> None:
    wire = await site.house.wire()
    assert (await log_in(wire, site.url(), ALICE, site.scheme)).body == b"alice"
    if not stays:
        await wire.close()
        await site.ended()
    for path in ("/a", "/other"):
        assert (await site.house.get(site.url(path))).status == 401
    other = await site.house.wire()
    assert (await log_in(other, site.url(), BOB, site.scheme)).body == b"bob"
    assert {user for _, user, target in site.origin.targets if target == "/other"} == {""}


@SCHEMES
async def test_a_login_lasts_as_long_as_its_connection(site: Site) -> None:
    wire = await site.house.wire()
    await log_in(wire, site.url(), ALICE, site.scheme)
    for path in ("/a", "/b", "/b"):
        answer = await ask(wire, site.url(path))
        assert (answer.status, answer.body) == (200, b"alice")
        assert answer.cache_status["detail"] == "connection-login"
        assert answer.cache_status["fwd"] == "bypass"
        assert "stored" not in answer.cache_status
    assert {number for number, user, _ in site.origin.targets if user} == {1}
    await wire.close()
    await site.ended()


@SCHEMES
async def test_two_logins_at_once(site: Site) -> None:
    alice, bob = await site.house.wire(), await site.house.wire()
    for_alice = await ask(alice, site.url(), first(site.scheme))
    for_bob = await ask(bob, site.url(), first(site.scheme))
    said = await ask(bob, site.url(), second(for_bob, BOB, site.scheme))
    assert said.body == b"bob"
    said = await ask(alice, site.url(), second(for_alice, ALICE, site.scheme))
    assert said.body == b"alice"
    assert (await ask(bob, site.url())).body == b"bob"
    assert (await ask(alice, site.url())).body == b"alice"


async def test_many_logins_at_once(site: Site) -> None:
    async def one(user: str) -> bytes:
        wire = await site.house.wire()
        await log_in(wire, site.url(), user)
        return (await ask(wire, site.url())).body

    users = [f"user{number}" for number in range(20)]
    assert await asyncio.gather(*map(one, users)) == [user.encode() for user in users]


async def test_inside_a_connect(site: Site) -> None:
    authority = f"127.0.0.1:{site.peer.port}"
    lines = (f"Host: {authority}",)
    alice = await site.house.tunnel(authority, *lines)
    challenged = await ask(alice, "/a", *lines, first())
    assert (await ask(alice, "/a", *lines, second(challenged, ALICE))).body == b"alice"
    assert (await ask(alice, "/b", *lines)).body == b"alice"
    bob = await site.house.tunnel(authority, *lines)
    assert (await ask(bob, "/b", *lines)).status == 401


async def test_what_is_stored_is_not_for_who_has_logged_in(site: Site) -> None:
    """Directly it would get its own; and others get what is stored, as before."""
    wire = await site.house.wire()
    for _ in range(3):  # the third time it is ready, by the octets of the request
        assert (await ask(wire, site.url("/open"))).body == b"nobody"
    await log_in(wire, site.url(), ALICE)
    assert (await ask(wire, site.url("/open"))).body == b"alice"
    other = await site.house.get(site.url("/open"))
    assert (other.hit, other.body) == (True, b"nobody")


async def test_what_it_changes_is_changed_for_others(site: Site) -> None:
    """RFC 9111 §4.4 holds whoever asks, and on whatever connection."""
    assert not (await site.house.get(site.url("/open"))).hit
    assert (await site.house.get(site.url("/open"))).hit
    wire = await site.house.wire()
    await log_in(wire, site.url("/open"), ALICE, method="PUT", body=b"new")
    assert not (await site.house.get(site.url("/open"))).hit


async def test_other_origins_are_cached_for_who_has_logged_in(site: Site) -> None:
    async with Peer(LoginOrigin()) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.port}/open"
        wire = await site.house.wire()
        await log_in(wire, site.url(), ALICE)
        assert not (await ask(wire, url)).hit
        assert (await ask(wire, url)).hit


async def test_beside_those_who_ask_again_and_again(site: Site) -> None:
    """What is never stored goes the short way, on pooled connections."""
    site.origin.lines = ("Cache-Control: no-store",)
    alice, others = await site.house.wire(), await site.house.wire()
    for _ in range(4):
        assert (await ask(others, site.url("/open"))).body == b"nobody"
    await log_in(alice, site.url(), ALICE)
    for _ in range(4):
        assert (await ask(alice, site.url("/open"))).body == b"alice"
        assert (await ask(others, site.url("/open"))).body == b"nobody"


async def test_one_who_asks_again_and_again_logs_in(site: Site) -> None:
    site.origin.lines = ("Cache-Control: no-store",)
    wire = await site.house.wire()
    for _ in range(4):
        assert (await ask(wire, site.url("/open"))).body == b"nobody"
    await log_in(wire, site.url("/open"), ALICE)
    for _ in range(4):
        assert (await ask(wire, site.url("/open"))).body == b"alice"
    assert (await site.house.get(site.url("/open"))).body == b"nobody"


async def test_an_upload(site: Site) -> None:
    wire = await site.house.wire()
    answer = await log_in(wire, site.url(), ALICE, method="POST", body=b"x" * 100_000)
    assert answer.body == b"alice sent " + b"x" * 100_000
    assert (await ask(wire, site.url(), method="PUT", body=b"y")).body == b"alice sent y"


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_login_does_not_move_to_another_connection(site: Site, at_once: bool) -> None:
    """The challenge was of a connection that is gone: no other could judge the answer to it."""
    site.origin.hang_up, site.origin.at_once = 1, at_once
    wire = await site.house.wire()
    challenged = await ask(wire, site.url(), first())
    if at_once:
        await site.ended()
    answer = await ask(wire, site.url(), second(challenged, ALICE))
    assert answer.status == 502
    assert answer.proxy_status["error"] == "connection_terminated"
    assert len(site.origin.targets) == 1
    site.origin.hang_up = 1000
    assert (await log_in(wire, site.url(), ALICE)).body == b"alice"


async def test_who_was_logged_in_on_a_lost_connection_is_asked_again(site: Site) -> None:
    site.origin.hang_up = 2
    wire = await site.house.wire()
    assert (await log_in(wire, site.url(), ALICE)).body == b"alice"
    site.origin.hang_up = 1000
    assert (await ask(wire, site.url())).status == 401
    assert (await log_in(wire, site.url(), ALICE)).body == b"alice"


async def test_a_login_takes_no_place_from_others(start_house: StartHouse) -> None:
    async with Peer(LoginOrigin()) as peer:
        house = await start_house({"upstream": {"connections_per_origin": 1}})
        url = f"http://127.0.0.1:{peer.port}/a"
        wires = [await house.wire() for _ in range(3)]
        for wire in wires:
            assert (await log_in(wire, url, ALICE)).body == b"alice"
        assert (await house.get(url)).status == 401


async def test_clients_are_told_that_a_login_may_pass_here(site: Site) -> None:
    """RFC 4559 §6: without this field they must not log in through a proxy."""
    answer = await site.house.get(site.url())
    assert answer.get("proxy-support") == "Session-Based-Authentication"
    assert "Proxy-Support" in (answer.get("connection") or "")
    open_to_all = await site.house.get(site.url("/open"))
    assert open_to_all.get("proxy-support") is None


async def test_through_a_parent(site: Site, start_house: StartHouse) -> None:
    """A connection to a parent is for one client at one origin, too."""
    child = await start_house({"upstream": {"parent": site.house.url}}, (site.peer.port,))
    alice, bob = await child.wire(), await child.wire()
    assert (await log_in(alice, site.url(), ALICE)).body == b"alice"
    assert (await ask(bob, site.url())).status == 401
    assert (await log_in(bob, site.url(), BOB)).body == b"bob"
    assert (await ask(alice, site.url())).body == b"alice"
    others = await child.get(site.url("/b"))
    assert (others.status, others.get("proxy-support")) == (401, "Session-Based-Authentication")
