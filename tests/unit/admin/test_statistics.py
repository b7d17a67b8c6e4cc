"""Counters over batches of records, whole values handed over, hits that cost next to nothing."""

import timeit
from collections.abc import Sequence

import msgspec
import pytest

from proxy.admin.statistics import (
    BOUNDS,
    MINUTES,
    SECONDS,
    Counted,
    Moment,
    Snapshot,
    Statistics,
    group,
)
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import HITS, OWN, Reason
from tests.support.watched import feed

param = pytest.param

NOW = 1700000000.0 - 1700000000.0 % 60


def record(
    reason: Reason = Reason.HIT,
    *,
    at: float = 0.0,
    elapsed: float = 0.0,
    method: str = "GET",
    status: int = 200,
    sent: int = 100,
    asked: float = 0.0,
) -> ExchangeRecord:
    """One that ended ``at`` seconds after ``NOW``."""
    return ExchangeRecord(
        start=NOW + at - elapsed,
        elapsed=elapsed,
        client="127.0.0.1",
        what=What(method, "http://a.example/", 1, status, sent, reason, asked=asked),
    )


def taken(*batches: Sequence[ExchangeRecord]) -> Snapshot:
    statistics = Statistics(NOW)
    for batch in batches:
        feed(statistics.take, batch)
    return statistics.snapshot()


def test_at_first_there_is_nothing() -> None:
    snapshot = Statistics(NOW).snapshot()
    assert (snapshot.since, snapshot.requests, snapshot.kinds) == (NOW, 0, ())
    assert snapshot.octets == {"cache": 0, "origin": 0, "own": 0, "tunnel": 0}
    assert taken([]) == snapshot


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_group(reason: Reason) -> None:
    expected = "hit" if reason in HITS else "own" if reason in OWN else "miss"
    assert group(reason) == ("tunnel" if reason is Reason.TUNNEL else expected)


def test_requests_by_method_result_and_status() -> None:
    batch = [
        record(),
        record(method="HEAD"),
        record(Reason.MISS, status=404),
        record(),
        record(Reason.METHOD, method="BREW", status=201),
        record(Reason.METHOD, method="STEEP", status=201),
        record(Reason.CLIENT_GONE, status=0),
        record(Reason.NOT_STORED_STATUS, status=999),
    ]
    snapshot = taken(batch, [record()])
    assert sorted(snapshot.kinds) == [
        Counted("GET", "client-gone", "other", 1),
        Counted("GET", "hit", "2xx", 3),
        Counted("GET", "miss", "4xx", 1),
        Counted("GET", "not-stored-status", "other", 1),
        Counted("HEAD", "hit", "2xx", 1),
        Counted("other", "method", "2xx", 2),
    ]
    assert snapshot.requests == 9
    assert snapshot.hits == 4
    assert snapshot.results["method"] == 2


def test_what_has_a_counter_of_its_own() -> None:
    snapshot = taken(
        [
            record(Reason.COLLAPSED),
            record(Reason.STALE_ALLOWED),
            record(Reason.STALE_IF_ERROR),
            record(Reason.STALE_WHILE_REVALIDATE),
            record(Reason.TUNNEL),
            record(Reason.TUNNEL),
        ]
    )
    assert (snapshot.collapsed, snapshot.stale, snapshot.tunnels, snapshot.hits) == (1, 3, 2, 4)


def test_octets_by_where_they_came_from() -> None:
    snapshot = taken(
        [
            record(sent=1),
            record(Reason.REVALIDATED, sent=2),
            record(Reason.MISS, sent=10),
            record(Reason.NOT_STORED_PRIVATE, sent=20),
            record(Reason.DENIED_PORT, sent=100),
            record(Reason.TUNNEL, sent=1000),
        ]
    )
    assert snapshot.octets == {"cache": 3, "origin": 30, "own": 100, "tunnel": 1000}


def test_durations_by_group() -> None:
    hits = [record(), record(elapsed=BOUNDS[0]), record(elapsed=0.002)]
    snapshot = taken([*hits, record(Reason.MISS, elapsed=90.0)], [record(elapsed=0.002)])
    held = snapshot.durations["hit"]
    assert held.counts[:3] == (2, 2, 0), "up to a bound includes the bound"
    assert held.total == pytest.approx(0.005)
    assert snapshot.durations["miss"].counts[-1] == 1
    assert sum(snapshot.durations["miss"].counts) == 1
    assert snapshot.durations["own"].total == 0.0


def test_how_long_origins_took_for_their_heads() -> None:
    snapshot = taken(
        [record(), record(Reason.MISS, asked=0.002), record(Reason.COLLAPSED)],
        [record(Reason.REVALIDATED, asked=90.0), record(Reason.MISS, asked=-3600.0)],
    )
    assert snapshot.asking.total == pytest.approx(90.002)
    assert [at for at, count in enumerate(snapshot.asking.counts) if count] == [1, len(BOUNDS)]


@pytest.mark.parametrize(
    ("misses", "hits", "saved"),
    [
        param([], [0.0] * 9, 0.0, id="nothing to compare with"),
        param([(Reason.MISS, 0.2), (Reason.EXPIRED, 0.4)], [0.1, 0.0], 0.5, id="the mean"),
        param(
            [(Reason.MISS, 0.2), (Reason.NOT_STORED_PRIVATE, 0.0)], [], 0.0, id="hits save alone"
        ),
        param([(Reason.MISS, 0.1)], [0.5], 0.0, id="never less than nothing"),
        param(
            [(Reason.MISS, 0.2), (Reason.NOT_STORED_EVENT_STREAM, 3600.0)], [0.0], 0.2,
            id="streams are not compared",
        ),
    ],
)  # fmt: skip
def test_time_saved(misses: list[tuple[Reason, float]], hits: list[float], saved: float) -> None:
    first = [record(reason, elapsed=elapsed) for reason, elapsed in misses]
    snapshot = taken(first, [record(elapsed=elapsed) for elapsed in hits])
    assert snapshot.saved_seconds == pytest.approx(saved)


def test_seconds_and_minutes() -> None:
    batch = [
        record(at=0.1, sent=1),
        record(Reason.MISS, at=0.9, elapsed=5.0, sent=10),
        record(at=1.0, sent=2),
        record(Reason.SELF, at=60.5, sent=1000),
    ]
    snapshot = taken(batch, [record(at=61.0, sent=4)])
    first, minute = int(NOW), int(NOW) + 60
    assert list(snapshot.seconds.values()) == [
        Moment(first, 2, 1, 1, 10),
        Moment(first + 1, 1, 1, 2, 0),
        Moment(first + 60, 1, 0, 0, 0),
        Moment(first + 61, 1, 1, 4, 0),
    ]
    assert list(snapshot.minutes.values()) == [
        Moment(first, 3, 2, 3, 10),
        Moment(minute, 2, 1, 4, 0),
    ]


def test_the_quiet_times_are_zeros() -> None:
    snapshot = taken([record(at=0.5), record(at=3.5)])
    seconds = snapshot.last_seconds(NOW + 5.9)
    assert len(seconds) == SECONDS
    assert [moment.start - int(NOW) for moment in seconds[-6:]] == [0, 1, 2, 3, 4, 5]
    assert [moment.requests for moment in seconds[-6:]] == [1, 0, 0, 1, 0, 0]
    minutes = snapshot.last_minutes(NOW + 125.0)
    assert len(minutes) == MINUTES
    assert [moment.start - int(NOW) for moment in minutes[-3:]] == [0, 60, 120]
    assert [moment.requests for moment in minutes[-3:]] == [2, 0, 0]
    assert not any(moment.requests for moment in snapshot.last_seconds(NOW + 9999))


def test_rings_are_bounded() -> None:
    snapshot = taken([record(at=60.0 * n) for n in range(MINUTES + 5)])
    assert len(snapshot.seconds) == SECONDS
    assert len(snapshot.minutes) == MINUTES
    assert max(snapshot.minutes) == int(NOW) + 60 * (MINUTES + 4)


@pytest.mark.parametrize("times", [(5, 0, 5), (0, 5, 0), (3, 2, 1), (0, 3600, 1, 2)])
def test_a_clock_that_is_set_back_loses_nothing(times: tuple[int, ...]) -> None:
    snapshot = taken([record(at=at) for at in times])
    assert snapshot.requests == len(times)
    assert sum(moment.requests for moment in snapshot.seconds.values()) == len(times)


def test_a_snapshot_is_a_whole_value() -> None:
    statistics = Statistics(NOW)
    feed(statistics.take, [record()])
    before = statistics.snapshot()
    text = msgspec.json.encode(before)
    feed(statistics.take, [record(), record(Reason.MISS, at=100)])
    assert statistics.snapshot().requests == 3
    assert msgspec.json.encode(before) == text
    assert msgspec.json.decode(text)["kinds"] == [["GET", "hit", "2xx", 1]]


def test_a_hit_costs_next_to_nothing() -> None:
    """0.17 us in batches of 1000; the bound leaves room for a busy machine."""
    statistics = Statistics(NOW)
    records = [record(sent=100 + n % 7) for n in range(1000)]
    best = min(timeit.repeat(lambda: feed(statistics.take, records), number=1, repeat=20))
    assert best / len(records) < 2e-6
