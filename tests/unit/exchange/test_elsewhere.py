"""Two workers, one request to the origin: what a follower in the other worker does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from proxy.exchange import elsewhere
from proxy.policy.reasons import Reason
from proxy.store.base import Found
from proxy.store.leases import Leases
from tests.support.bench import URL, Bench, answers, whole
from tests.support.build import resp
from tests.support.origin import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

FRESH = resp(200, "max-age=60", 'ETag: "1"')


class FakeLeases(Leases):
    """Of one worker; ``taken`` is what all of them have, by place. ``asked`` counts."""

    def __init__(self, taken: dict[int, FakeLeases]) -> None:
        self.taken = taken
        self.asked = 0
        self.refused = asyncio.Event()

    def take(self, name: str) -> int | None:
        self.asked += 1
        place = hash(name)
        if self.taken.setdefault(place, self) is self:
            return place
        self.refused.set()
        return None

    def give_back(self, place: int) -> None:
        assert self.taken.pop(place) is self


class Two:
    """Two workers that share a store, an origin and their leases."""

    def __init__(self) -> None:
        self.taken: dict[int, FakeLeases] = {}
        self.leases = FakeLeases(self.taken), FakeLeases(self.taken)
        self.one = Bench()
        self.two = Bench(beside=self.one)
        for bench, leases in zip((self.one, self.two), self.leases, strict=True):
            bench.exchange.flights.leases = leases

    @property
    def asked(self) -> int:
        return self.one.asked

    async def refused(self) -> None:
        """Until the second worker has found that the first one asks."""
        async with asyncio.timeout(5):
            await self.leases[1].refused.wait()

    async def settled(self) -> None:
        await self.one.settled()
        assert self.taken == {}, "a lease was kept"


@pytest.fixture
def workers() -> Two:
    return Two()


async def test_misses_in_both_are_one_fetch(workers: Two) -> None:
    head, rest = Gate(), Gate()
    workers.one.fetcher.says(URL, FRESH, b"first", rest, b"second", before=head)
    leader = workers.one.start()
    await head.reached()
    others = [workers.two.start() for _ in range(3)]
    await workers.refused()
    head.open()
    rest.open()
    assert (await whole(await leader)).body == b"firstsecond"
    got = await answers(others)
    assert [(one.body, one.reason) for one in got] == [(b"firstsecond", Reason.COLLAPSED)] * 3
    assert "fwd=uri-miss; fwd-status=200; " in got[0].said("cache-status")
    assert "; collapsed; " in got[0].said("cache-status")
    assert workers.asked == 1
    await workers.settled()


async def test_what_came_in_between_is_not_asked_for(
    workers: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looked up as missing, and stored by another before the lease was taken.
    workers.one.fetcher.says(URL, FRESH, b"body")
    await workers.one.get()
    missing = [Found((), 0)]
    monkeypatch.setattr(workers.two.store, "peek", lambda _: missing.pop())
    got = await workers.two.get()
    assert (got.body, got.reason) == (b"body", Reason.COLLAPSED)
    assert workers.asked == 1
    await workers.settled()


async def uncacheable(workers: Two, gate: Gate) -> None:
    for body in (b"one", b"two"):
        workers.one.fetcher.says(URL, resp(200, "no-store"), body, before=gate)


async def broken(workers: Two, gate: Gate) -> None:
    workers.one.fetcher.says(URL, FRESH, b"one", before=gate)
    workers.one.fetcher.says(URL, FRESH, b"two")
    workers.one.store.down = True


@pytest.mark.parametrize("what", [uncacheable, broken], ids=["not to be stored", "disk failed"])
async def test_what_is_not_stored_each_asks_for(workers: Two, what: Callable[..., Any]) -> None:
    gate = Gate()
    await what(workers, gate)
    leader = workers.one.start()
    await gate.reached()
    other = workers.two.start()
    await workers.refused()
    gate.open()
    assert (await whole(await leader)).body == b"one"
    assert (await whole(await other)).body == b"two"
    assert workers.asked == 2
    await workers.settled()


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Cache-Control: max-age=0"])
async def test_who_takes_nothing_older_waits_for_no_other_worker(workers: Two, line: str) -> None:
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"old", before=gate)
    workers.one.fetcher.says(URL, FRESH, b"new")
    leader = workers.one.start()
    await gate.reached()
    assert (await whole(await workers.two.open(f"GET {URL}", line))).body == b"new"
    assert workers.leases[1].asked == 0
    gate.open()
    assert (await whole(await leader)).body == b"old"
    await workers.settled()


async def test_a_worker_that_dies_is_not_waited_for(workers: Two) -> None:
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"one", before=gate)
    workers.one.fetcher.says(URL, FRESH, b"two")
    leader = workers.one.start()
    await gate.reached()
    other = workers.two.start()
    await workers.refused()
    lost = dict(workers.taken)
    workers.taken.clear()
    assert (await whole(await other)).body == b"two"
    workers.taken.update(lost)
    gate.open()
    assert (await whole(await leader)).body == b"one"
    await workers.settled()


async def test_nobody_waits_for_ever(workers: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "PATIENCE", 0.05)
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"one", gate, b"and more")
    workers.one.fetcher.says(URL, FRESH, b"two")
    leader = await workers.one.open()
    began = time.monotonic()
    assert (await whole(await workers.two.open())).body == b"two"
    assert time.monotonic() - began >= 0.04
    gate.open()
    assert (await whole(leader)).body == b"oneand more"
    await workers.settled()


async def test_a_removal_ends_the_waiting(workers: Two) -> None:
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"old", before=gate)
    workers.one.fetcher.says(URL, FRESH, b"new")
    leader = workers.one.start()
    await gate.reached()
    early = workers.two.start()
    await workers.refused()
    await workers.one.store.remove(URL)
    assert (await whole(await early)).body == b"new"
    gate.open()
    assert (await whole(await leader)).body == b"old"
    await workers.settled()
    assert workers.asked == 2


async def test_after_a_removal_there_is_another_lease(workers: Two) -> None:
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"old", before=gate)
    workers.one.fetcher.says(URL, FRESH, b"new")
    leader = workers.one.start()
    await gate.reached()
    await workers.one.store.remove(URL)
    assert (await workers.two.get()).body == b"new"
    assert not workers.leases[1].refused.is_set()
    gate.open()
    assert (await whole(await leader)).body == b"old"
    await workers.settled()


async def test_only_one_validates_behind_the_clients(workers: Two) -> None:
    stale = resp(200, "max-age=0, stale-while-revalidate=60", 'ETag: "1"')
    workers.one.fetcher.says(URL, stale, b"body")
    await workers.one.get()
    gate = Gate()
    workers.one.fetcher.says(URL, resp(304, "max-age=60", 'ETag: "1"'), before=gate)
    first = await whole(await workers.one.open())
    await gate.reached()
    second = await whole(await workers.two.open())
    assert {one.reason for one in (first, second)} == {Reason.STALE_WHILE_REVALIDATE}
    gate.open()
    await workers.settled()
    assert workers.asked == 2
    assert (await workers.two.get()).reason is Reason.HIT


async def test_a_client_who_leaves_is_waited_for_no_longer(workers: Two) -> None:
    gate = Gate()
    workers.one.fetcher.says(URL, FRESH, b"body", before=gate)
    leader = workers.one.start()
    await gate.reached()
    leaving, staying = workers.two.start(), workers.two.start()
    await workers.refused()
    leaving.cancel()
    gate.open()
    assert (await whole(await leader)).body == b"body"
    assert (await whole(await staying)).body == b"body"
    assert workers.asked == 1
    await workers.settled()


async def test_alone_nobody_asks_for_leases() -> None:
    bench = Bench()
    bench.fetcher.says(URL, FRESH, b"body")
    await bench.get()
    assert bench.exchange.flights.leases is None
