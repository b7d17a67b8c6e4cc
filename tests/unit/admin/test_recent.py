"""The latest exchanges: found by id, watched from any place, bounded whatever comes."""

import threading

import pytest

from proxy.admin.recent import HITS_KEPT, OCTETS, OTHERS_KEPT, Recent
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason
from tests.support.watched import feed

param = pytest.param


def record(name: str = "x", reason: Reason = Reason.MISS) -> ExchangeRecord:
    target = f"http://a.example/{name}"
    return ExchangeRecord(1700000000.0, 0.0, "127.0.0.1", What("GET", target, 1, 200, 100, reason))


def filled(*names: str) -> Recent:
    recent = Recent("cafe")
    feed(recent.take, [record(name) for name in names])
    return recent


def is_b(record: ExchangeRecord) -> bool:
    return record.what.target.endswith("/b")


def test_an_exchange_is_found_by_its_id() -> None:
    recent = filled("a", "b")
    feed(recent.take, [record("c", Reason.HIT), record("d")])
    latest = recent.latest(9)
    assert [recent.id(recorded) for recorded in latest] == ["cafe-4", "cafe-3", "cafe-2", "cafe-1"]
    assert [recent.find(recent.id(recorded)) for recorded in latest] == latest
    found = recent.find("cafe-3")
    assert found is not None
    assert found.record == record("c", Reason.HIT)


@pytest.mark.parametrize(
    "exchange_id",
    [
        param("", id="nothing"),
        param("cafe", id="no number"),
        param("cafe-", id="an empty one"),
        param("cafe-x", id="no digits"),
        param("cafe-²", id="not these digits"),
        param("cafe--1", id="negative"),
        param("beef-1", id="another process"),
        param("cafe-0", id="too early"),
        param("cafe-3", id="too late"),
        param("cafe-" + "9" * 5000, id="a very large number"),
    ],
)
def test_what_is_no_id_of_ours(exchange_id: str) -> None:
    assert filled("a", "b").find(exchange_id) is None


def test_each_process_has_a_token_of_its_own() -> None:
    assert Recent().token != Recent().token


def test_the_latest_of_those_that_are_wanted() -> None:
    recent = filled("a", "b", "c", "b", "a")
    assert [recorded.number for recorded in recent.latest(2)] == [5, 4]
    assert [recorded.number for recorded in recent.latest(9, is_b)] == [4, 2]


def test_hits_do_not_push_out_what_is_no_hit() -> None:
    recent = filled("a")
    for _ in range(3):
        feed(recent.take, [record("h", Reason.HIT)] * (HITS_KEPT - 1))
    assert recent.upto == 1 + 3 * (HITS_KEPT - 1)
    assert recent.find("cafe-1") is not None
    assert recent.find("cafe-2") is None
    assert len(recent.latest(10**6)) == 1 + HITS_KEPT


def test_of_a_long_batch_the_latest_hits_and_all_else() -> None:
    recent = Recent("cafe")
    feed(recent.take, [record("m"), *[record("h", Reason.HIT)] * (2 * HITS_KEPT), record("n")])
    numbers = [recorded.number for recorded in recent.latest(10**6)]
    last = 2 * HITS_KEPT + 2
    assert recent.upto == last
    assert numbers == [*range(last, last - HITS_KEPT, -1), 1]


def test_the_ring_is_bounded_in_number() -> None:
    recent = Recent()
    for _ in range(3):
        feed(recent.take, [record()] * (OTHERS_KEPT - 1))
    assert len(recent.latest(10**6)) == OTHERS_KEPT


def test_the_rings_are_bounded_in_octets() -> None:
    recent = Recent()
    long = [record(f"{number}{'x' * 60_000}") for number in range(OTHERS_KEPT)]
    feed(recent.take, [*long, *(record(one.what.target[:60_000], Reason.HIT) for one in long)])
    texts = sum(len(kept.record.what.target) for kept in recent.latest(10**6))
    assert OCTETS < texts < 2 * OCTETS


def test_watching_goes_on_from_the_last_place() -> None:
    recent = filled("a")
    place = recent.upto
    assert recent.watch(place, 10) == ((), 1, 0)
    feed(recent.take, [record("b"), record("h", Reason.HIT), record("c")])
    exchanges, upto, missed = recent.watch(place, 10)
    assert [recorded.number for recorded in exchanges] == [2, 3, 4]
    assert (upto, missed) == (4, 0)
    assert recent.watch(upto, 10).exchanges == ()


def test_who_is_slow_is_told_how_many_went_by() -> None:
    recent = filled("a")
    for _ in range(3):
        feed(recent.take, [record("b", Reason.HIT)] * HITS_KEPT)
    exchanges, upto, missed = recent.watch(1, 10)
    assert [recorded.number for recorded in exchanges] == list(range(upto - 9, upto + 1))
    assert missed == 3 * HITS_KEPT - 10


def test_who_watches_for_some_misses_none_of_the_others() -> None:
    recent = filled("a", "b", "a", "b", "b")
    exchanges, _, missed = recent.watch(0, 2, is_b)
    assert [recorded.number for recorded in exchanges] == [4, 5]
    assert missed == 1


def test_many_may_look_while_one_takes() -> None:
    recent = Recent("cafe")
    wrong: list[object] = []

    def look() -> None:
        place = 0
        while place < 20000:
            exchanges, upto, missed = recent.watch(place, 10**6)
            if len(exchanges) + missed != upto - place:
                wrong.append((exchanges, upto, missed))
            place = upto
            recent.latest(5)
            recent.find(f"cafe-{place}")

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for _ in range(200):
        feed(recent.take, [record(), record("h", Reason.HIT)] * 50)
    for watcher in watchers:
        watcher.join()
    assert wrong == []
