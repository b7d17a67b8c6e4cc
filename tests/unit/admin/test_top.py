"""The busiest hosts and URLs: exact while they are few, bounded when they are not."""

import random
from itertools import count

import pytest

from proxy.admin import top
from proxy.admin.top import (
    CROWD,
    EVERY,
    LONGEST,
    SHOWN,
    SLOTS,
    UNSEEN,
    Leader,
    Leaders,
    Top,
)
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason
from tests.support.watched import feed

param = pytest.param


def record(target: str, reason: Reason = Reason.HIT, sent: int = 1) -> ExchangeRecord:
    what = What("GET", target, 1, 200, sent, reason)
    return ExchangeRecord(1700000000.0, 0.0, "127.0.0.1", what)


def taken(*batches: list[ExchangeRecord]) -> Leaders:
    table = Top()
    for batch in batches:
        feed(table.take, batch)
    return table.leaders()


def test_at_first_there_is_nobody() -> None:
    assert Top().leaders() == Leaders()


def test_by_requests_octets_and_misses() -> None:
    small, large, missing = (f"http://{name}.example/x?y" for name in ("s", "l", "m"))
    leaders = taken(
        [record(small), record(small, sent=2), record(small, Reason.REVALIDATED)],
        [record(large, sent=5000)],
        [
            record(missing, Reason.NOT_STORED_PRIVATE, 10),
            record(missing, Reason.MISS, 10),
            record(small, Reason.MISS),
            record(missing, Reason.NOT_STORED_PRIVATE, 10),
        ],
    )
    first = Leader(small, 4, 5, 1, "miss")
    second = Leader(missing, 3, 30, 3, "not-stored-private")
    third = Leader(large, 1, 5000, 0, "")
    assert leaders.urls.requests == (first, second, third)
    assert leaders.urls.octets == (third, second, first)
    assert leaders.urls.misses == (second, first)
    assert [leader.name for leader in leaders.hosts.requests] == [
        "s.example",
        "m.example",
        "l.example",
    ]
    assert leaders.hosts.misses[0] == Leader("m.example", 3, 30, 3, "not-stored-private")


@pytest.mark.parametrize(
    ("target", "reason", "host", "url"),
    [
        param("http://a.example:8080/", Reason.HIT, "a.example:8080", True, id="a port"),
        param("http://[::1]/x", Reason.HIT, "[::1]", True, id="IPv6"),
        param("http://a.example", Reason.METHOD, "a.example", True, id="OPTIONS *"),
        param("a.example:443", Reason.TUNNEL, "a.example", False, id="a tunnel"),
        param("a.example:80", Reason.TUNNEL, "a.example:80", False, id="another port"),
        param("http://a.example/", Reason.TUNNEL, "a.example", True, id="an upgrade"),
        param("/healthz", Reason.SELF, None, False, id="the proxy itself"),
        param("http://u:p@a.example/", Reason.BAD_REQUEST, None, False, id="refused"),
    ],
)
def test_names(target: str, reason: Reason, host: str | None, url: bool) -> None:
    leaders = taken([record(target, reason)])
    assert [leader.name for leader in leaders.hosts.requests] == ([host] if host else [])
    assert [leader.name for leader in leaders.urls.requests] == ([target] if url else [])


def test_memory_is_bounded_and_the_heavy_ones_stay() -> None:
    """A name with more than one in SLOTS of all requests is never lost."""
    dice = random.Random(1)
    table = Top(count().__next__)
    rare = 0
    for _ in range(40):
        batch = [record(f"http://h{n}.example/heavy", Reason.MISS) for n in range(5)] * 10
        for _ in range(450):
            rare += 1
            batch.append(record(f"http://r{rare}.example/{'x' * 2000}", Reason.MISS))
        dice.shuffle(batch)
        feed(table.take, batch)
    assert rare > 5 * SLOTS
    leaders = table.leaders()
    for ranking in (leaders.hosts, leaders.urls):
        for by in (ranking.requests, ranking.octets, ranking.misses):
            assert len(by) == SHOWN
            assert {leader.requests for leader in by[:5]} == {400}
            assert by[5].requests < 400
            assert all(len(leader.name) <= LONGEST for leader in by)
    for board in (table._hosts, table._urls):
        for slots in board._slots:
            assert len(slots._weights) == len(slots._figures) == len(slots._least) == SLOTS


def test_a_newcomer_takes_the_slot_of_the_least_and_its_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(top, "SLOTS", 2)
    table = Top()
    feed(table.take, [record("http://a/")] * 3 + [record("http://b/")] * 2)
    feed(table.take, [record("http://b/")] * 2)
    feed(table.take, [record("http://c/")])  # a had 3, b 4
    slots = table._urls._slots[0]
    assert slots._weights == {"http://b/": 4, "http://c/": 4}
    # The figures are those that are certain.
    assert [(x.name, x.requests) for x in table.leaders().urls.requests] == [
        ("http://b/", 4),
        ("http://c/", 1),
    ]


def test_in_a_busy_batch_a_record_stands_for_several_of_its_kind() -> None:
    hits = [record("http://a.example/")] * 4080
    misses = [record("http://b.example/", Reason.MISS)] * 16
    moments = iter([0.0, 0.0, UNSEEN / 2, UNSEEN, UNSEEN])
    table = Top(lambda: next(moments))
    for _ in range(2):
        feed(table.take, hits + misses)
        assert table.leaders() == Leaders(), "it would be worth nothing a moment later"
    feed(table.take, hits + misses)
    first, second = table.leaders().hosts.requests
    assert first.requests / 3 == pytest.approx(4080, abs=EVERY)
    assert (second.requests, second.misses) == (16 * 3, 16 * 3)
    feed(table.take, [record("http://b.example/")])
    assert table.leaders().hosts.requests[1].requests == 16 * 3 + 1


@pytest.mark.parametrize("reason", [Reason.HIT, Reason.MISS])
def test_up_to_a_crowd_each_counts(reason: Reason) -> None:
    for number in (CROWD, CROWD + EVERY):
        table = Top(count().__next__)
        feed(table.take, [record("http://a.example/", reason)] * number)
        (first,) = table.leaders().hosts.requests
        assert first.requests == number
    table = Top(count().__next__)
    feed(table.take, [record(f"http://a.example/{n}", reason) for n in range(CROWD + EVERY)])
    assert table.leaders().hosts.requests[0].requests == CROWD + EVERY
    assert {url.requests for url in table.leaders().urls.requests} == {EVERY}
