from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.upstream.resolve import Addresses, Resolver, look_up

Make = Callable[..., Resolver]


class Names:
    """A look-up that counts, and waits for ``gate``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, name: str) -> Addresses:
        self.asked.append(name)
        self.gate.wait()
        if name.startswith("bad"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ((socket.AF_INET, "192.0.2.1"),)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Resolver] = []

    def resolver(ttl: float, names: Names) -> Resolver:
        made.append(Resolver(ttl, names))
        return made[-1]

    yield resolver
    for one in made:
        one.close()


async def test_an_answer_is_kept_for_its_time(make: Make) -> None:
    names = Names()
    lasting, passing = make(60, names), make(0, names)
    for resolver in (lasting, lasting, passing, passing):
        assert await resolver.resolve("a.example") == ((socket.AF_INET, "192.0.2.1"),)
    assert len(names.asked) == 1 + 2


async def test_look_ups_of_one_name_are_one(make: Make) -> None:
    names = Names()
    names.gate.clear()
    resolver = make(0, names)
    waiting = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    names.gate.set()
    assert len({await one for one in waiting[1:]}) == 1
    assert names.asked == ["a.example"]


async def test_what_was_of_no_use_is_asked_again(make: Make) -> None:
    names = Names()
    resolver = make(60, names)
    await resolver.resolve("a.example")
    resolver.forget("a.example")
    resolver.forget("b.example")
    assert resolver.known("a.example") is None
    await resolver.resolve("a.example")
    assert len(names.asked) == 2


async def test_a_failure_is_not_kept(make: Make) -> None:
    names = Names()
    resolver = make(60, names)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await resolver.resolve("bad.example")
    assert len(names.asked) == 2


async def test_the_cache_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.resolve._MAX_NAMES", 2)
    names = Names()
    resolver = make(60, names)
    for name in ("a", "b", "c", "c", "b", "a"):
        await resolver.resolve(name)
    assert names.asked == ["a", "b", "c", "a"]


def test_the_system_knows_localhost() -> None:
    assert (socket.AF_INET, "127.0.0.1") in look_up("localhost")


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test"])
def test_what_no_name_can_be_is_not_found(name: str) -> None:
    with pytest.raises(socket.gaierror):
        look_up(name)
