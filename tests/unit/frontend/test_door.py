"""What connections share: the counts, the sweep, drain and the end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.frontend import door as door_module
from proxy.frontend.options import ServerOptions
from tests.support.door import Behind, Client, Dialled, flow, get, outcome
from tests.support.transport import turns, until

if TYPE_CHECKING:
    from collections.abc import Callable

TLS = b"\x16\x03\x01\x02\x00"
CONNECT = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"


async def tunnelled(behind: Behind) -> tuple[Client, Dialled]:
    dialled = behind.fetcher.result = Dialled()
    client = behind.client()
    await client.send(CONNECT)
    await client.send(TLS)
    return client, dialled


def clock_set(monkeypatch: pytest.MonkeyPatch, step: float) -> Callable[[float], None]:
    """The wall clock, by so much; what lets seconds pass by both clocks."""
    wall, monotonic, passed = time.time, time.monotonic, 0.0

    def later(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(time, "time", lambda: wall() + step + passed)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed)
    return later


async def test_tunnels_count_as_connections() -> None:
    behind = Behind(ServerOptions(max_connections=1))
    client, dialled = await tunnelled(behind)
    assert (len(behind.door.connections), len(behind.door.tunnels)) == (0, 1)
    assert behind.door.denied("192.0.2.77", "192.0.2.77")
    client.transport.leave()
    await turns()
    assert dialled.transport.lost
    assert behind.empty
    assert not behind.door.denied("192.0.2.77", "192.0.2.77")


async def test_tunnels_count_for_their_client() -> None:
    behind = Behind(ServerOptions(max_connections_per_client=1))
    client, _ = await tunnelled(behind)
    assert behind.door.denied("192.0.2.1", "192.0.2.1")
    client.transport.leave()
    await turns()
    assert not behind.door.denied("192.0.2.1", "192.0.2.1")


async def test_the_sweep_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "SWEEP", 0)
    behind = Behind()
    behind.door.watch()
    for _ in range(2):
        client = behind.client()
        client.connection.since -= 3600
        await until(lambda transport=client.transport: transport.lost)  # type: ignore[misc]
    behind.door.shut()


async def test_the_sweep_survives_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "SWEEP", 0)
    behind, failures = Behind(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    bad = behind.client()
    bad.connection.since = None  # type: ignore[assignment]
    behind.door.watch()
    await until(lambda: len(failures) >= 2)
    behind.door.shut()
    await turns()


async def test_the_sweep_ends_silent_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = Behind()
    _, dialled = await tunnelled(behind)
    (tunnel,) = behind.door.tunnels
    tunnel.sweep(time.time(), 600)
    tunnel.since -= 3600
    monkeypatch.setattr(door_module, "SWEEP", 0)
    behind.door.watch()
    await until(lambda: not behind.door.tunnels)
    assert dialled.transport.is_closing()
    behind.door.shut()
    await turns()
    assert behind.empty


class TestTheClockIsSet:
    """Who waits has waited as long as before, whatever the wall clock says."""

    YEARS = 10 * 365 * 86400.0

    @pytest.mark.parametrize("step", [600.0, -600.0, YEARS, -YEARS])
    async def test_nobody_is_overdue(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        behind = Behind()
        client = behind.client()
        _, dialled = await tunnelled(behind)
        later = clock_set(monkeypatch, step)
        behind.door._sweep()
        later(30)
        behind.door._sweep()
        assert not client.transport.is_closing()
        assert not dialled.transport.is_closing()
        behind.door.shut()

    @pytest.mark.parametrize("step", [600.0, -600.0, YEARS, -YEARS])
    async def test_whoever_is_slow_is_overdue(
        self, monkeypatch: pytest.MonkeyPatch, step: float
    ) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(get("/a")[:30])
        later = clock_set(monkeypatch, step)
        behind.door._sweep()
        assert not client.transport.written
        later(31)
        behind.door._sweep()
        await turns()
        assert client.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        behind.door.shut()


class TestDrain:
    """No more requests; what is under way is finished."""

    async def test_idle_connections_end(self) -> None:
        behind = Behind()
        fresh, used, granted = behind.client(), behind.client(), behind.client()
        await used.send(get("/a"))
        await granted.send(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        behind.door.drain()
        await turns()
        assert behind.empty
        assert not any(client.transport.reset for client in (fresh, used, granted))

    async def test_an_answer_is_finished_and_announces_the_close(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(b"slow"), gate)
        client = behind.client()
        await client.send(get("/slow") + get("/next"))
        behind.door.drain()
        gate.set()
        await turns()
        answer = bytes(client.transport.written)
        assert b"Connection: close\r\n" in answer
        assert answer.endswith(b"slow")
        assert client.transport.ended
        assert len(behind.exchange.requests) == 1

    async def test_an_answer_whose_head_is_out_is_finished(self) -> None:
        behind, gate = Behind(), asyncio.Event()
        behind.exchange.answer("/slow", outcome(flow(b"one", gate, b"two", length=6)))
        client = behind.client()
        await client.send(get("/slow"))
        behind.door.drain()
        gate.set()
        await turns()
        assert client.transport.written.endswith(b"onetwo")
        assert client.transport.ended

    @pytest.mark.parametrize(
        "octets",
        [get("/a"), b"GET /healthz HTTP/1.1\r\nHost: proxy.test\r\n\r\n"],
        ids=["for the exchange", "for the proxy itself"],
    )
    async def test_a_head_under_way_is_answered(self, octets: bytes) -> None:
        behind = Behind()
        client = behind.client()
        await client.send(octets[:20])
        behind.door.drain()
        answer = await client.send(octets[20:])
        assert b"Connection: close\r\n" in answer
        assert client.transport.ended


async def test_shut_ends_everything() -> None:
    behind = Behind()
    behind.exchange.answer("/slow", outcome(b"slow"), asyncio.Event())
    behind.door.watch()
    idle, busy, partial = behind.client(), behind.client(), behind.client()
    await busy.send(get("/slow"))
    await partial.send(get("/a")[:20])
    stuck, dialled = await tunnelled(behind)
    dialled.transport.stalled = True
    stuck.transport.feed(bytes(1000))
    behind.door.shut()
    await turns()
    assert behind.empty
    assert behind.exchange.cancelled == 1
    assert busy.transport.reset
    assert not idle.transport.reset
    assert dialled.transport.lost
