"""Batches of records: all who learn from them get them, and uses are counted by key."""

from __future__ import annotations

import pytest

from proxy.admin import watching
from proxy.admin.watching import Watching
from proxy.exchange.record import ExchangeRecord, What
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
    watched, most = Watching(NOW), watching._MOST_KEYS
    watch(watched, *(record(f"http://a.example/{n}") for n in range(most + 10)))
    watch(watched, record("http://a.example/0"))  # what has its place goes on to count
    uses = watched.uses()
    assert len(uses) == most
    assert uses["http://a.example/0"] == (2, NOW)
