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


class TestTurns:
    """A client has so many look-ups under way, and what is more waits in a line of its own."""

    async def test_of_one_client_so_many(self, make: Make) -> None:
        names = Names()
        names.gate.clear()
        resolver = make(0, names)
        mine = [asyncio.ensure_future(resolver.resolve(f"{n}.slow", "a")) for n in range(20)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(resolver.resolve("quick", "b"))
        await until(lambda: len(names.asked) == 17)
        assert names.asked[-1] == "quick"
        names.gate.set()
        await asyncio.gather(*mine, other)
        assert len(names.asked) == 21

    async def test_who_waits_for_a_name_in_a_long_line_does_not_stand_in_it(
        self, make: Make
    ) -> None:
        names = Names()
        names.gate.clear()
        resolver = make(60, names)
        mine = [asyncio.ensure_future(resolver.resolve(f"{n}.slow", "a")) for n in range(20)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(resolver.resolve("19.slow", "b"))
        await until(lambda: "19.slow" in names.asked)
        assert "18.slow" not in names.asked
        names.gate.set()
        await asyncio.gather(*mine, other)
        assert names.asked.count("19.slow") == 1

    async def test_what_nobody_waits_for_is_not_begun(self, make: Make) -> None:
        names = Names()
        names.gate.clear()
        resolver = make(0, names)
        held = [asyncio.ensure_future(resolver.resolve(f"{n}.slow", "a")) for n in range(16)]
        left, shared = [asyncio.ensure_future(resolver.resolve(n, "a")) for n in ("b", "c")]
        await asyncio.sleep(0)
        staying = asyncio.ensure_future(resolver.resolve("c", "a"))
        await asyncio.sleep(0)
        left.cancel()
        shared.cancel()
        await asyncio.gather(left, shared, return_exceptions=True)
        names.gate.set()
        assert await staying == ((socket.AF_INET, "192.0.2.1"),)
        await asyncio.gather(*held)
        assert "b" not in names.asked

    async def test_a_look_up_that_nobody_waits_for_still_has_its_place(self, make: Make) -> None:
        """It cannot be called back: or a client who leaves could begin any number."""
        names = Names()
        names.gate.clear()
        resolver = make(0, names)
        for number in range(3):
            some = [
                asyncio.ensure_future(resolver.resolve(f"{n}.{number}.bad", "a")) for n in range(16)
            ]
            await asyncio.sleep(0)
            for one in some:
                one.cancel()
            await asyncio.gather(*some, return_exceptions=True)
        await until(lambda: len(names.asked) >= 16)
        assert len(names.asked) == 16
        names.gate.set()
        assert await resolver.resolve("c", "a")

    async def test_no_thread_to_be_had(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        names = Names()
        resolver = make(0, names)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            for _ in range(20):
                with pytest.raises(socket.gaierror):
                    await resolver.resolve("a.example", "a")
        assert await resolver.resolve("a.example", "a")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.001)
