"""Batches of records: all who learn from them get them, and uses are counted by key."""

from __future__ import annotations

import pytest

from proxy.admin import watching
from proxy.admin.watching import Watching
from proxy.exchange.record import LONGEST, ExchangeRecord, What
from proxy.policy.reasons import HITS, Reason
from tests.support.watched import watch

NOW = 1_700_000_000.0


def record(target: str, reason: Reason = Reason.HIT, *, at: float = 0.0) -> ExchangeRecord:
    what = What("GET", target, 1, 200, 100, reason)
    return ExchangeRecord(NOW + at, 0.1, "127.0.0.1", what)


def test_all_of_them_take_a_batch() -> None:
    watched = Watching(NOW)
    watch(watched, record("http://a.example/x"), record("http://a.example/y", Reason.MISS))
    snapshot = watched.statistics.snapshot()
    assert (snapshot.since, snapshot.requests, snapshot.hits) == (NOW, 2, 1)
    assert [one.name for one in watched.top.leaders().hosts.requests] == ["a.example"]
    assert [one.number for one in watched.recent.latest(9)] == [2, 1]


def test_uses_are_told_once() -> None:
    watched = Watching(NOW)
    watch(watched, record("http://a.example/x", at=3), record("http://a.example/y", at=5))
    watch(watched, *[record("http://a.example/x", at=6)] * 2)
    assert watched.uses() == {
        "http://a.example/x": (3, NOW + 6),
        "http://a.example/y": (1, NOW + 5),
    }
    assert watched.uses() == {}
    watch(watched, record("http://a.example/x", at=9))
    assert watched.uses() == {"http://a.example/x": (1, NOW + 9)}


@pytest.mark.parametrize("reason", Reason)
def test_a_use_is_an_answer_from_the_cache(reason: Reason) -> None:
    watched = Watching(NOW)
    watch(watched, record("http://a.example/x", reason))
    assert bool(watched.uses()) == (reason in HITS)


def test_clients_cannot_make_it_longer() -> None:
    watched = Watching(NOW)
    urls = [f"http://a.example/{number}{'x' * 1000}" for number in range(10_000)]
    watch(watched, *map(record, urls))
    watch(watched, record(urls[-1]))
    uses = watched.uses()
    assert 0 < sum(map(len, uses)) <= watching._OCTETS
    assert uses[urls[-1]] == (2, NOW)


def test_what_may_have_been_cut_is_no_key() -> None:
    watched = Watching(NOW)
    watch(watched, record(f"http://a.example/{'x' * LONGEST}"))
    assert watched.uses() == {}
