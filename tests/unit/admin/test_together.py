"""What several workers come to: as if one had done it all."""

import msgspec
import pytest

from proxy.admin.shapes import FillShape
from proxy.admin.statistics import Snapshot, Statistics
from proxy.admin.together import Gone, State, briefly, line, merged, snapshots
from proxy.admin.top import Leader, Leaders, Ranking, Top
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.transcoding import Counts
from proxy.policy.reasons import Reason
from tests.support.watched import feed

NOW = 1700000000.0


def record(reason: Reason, at: float, target: str = "http://a.example/") -> ExchangeRecord:
    what = What("GET", target, 1, 200, 100, reason, asked=0.02)
    return ExchangeRecord(NOW + at, 0.1, "127.0.0.1", what)


ONE = [record(Reason.HIT, 0.0), record(Reason.COLLAPSED, 1.0), record(Reason.TUNNEL, 61.0)]
TWO = [record(Reason.HIT, 0.5), record(Reason.STALE_IF_ERROR, 2.0), record(Reason.SELF, 62.0)]
FILL = FillShape("http://a.example/", 1, 2, NOW, 1.0, 1)


def counted(*records: ExchangeRecord, since: float = NOW) -> Snapshot:
    statistics = Statistics(since)
    for each in records:
        feed(statistics.take, [each])
    return statistics.snapshot()


def state(worker: int, pid: int, *records: ExchangeRecord) -> State:
    return State(
        worker,
        pid,
        counted(*records, since=NOW + worker),
        coding=Counts(decoded_in=3, seconds=0.5),
        evictions={"room": 1},
        stores={"stored": 2},
        fills=[FILL],
        connections=4,
        tunnels=1,
        log_dropped=5,
    )


def test_two_snapshots_are_that_of_one_who_counted_both() -> None:
    both, alone = snapshots([counted(*ONE), counted(*TWO, since=NOW + 9)]), counted(*ONE, *TWO)
    for name in Snapshot.__dataclass_fields__:
        expected = getattr(alone, name)
        found = getattr(both, name)
        if name == "kinds":
            expected, found = set(expected), set(found)
        assert found == pytest.approx(expected) if isinstance(expected, float) else found, name
        if name not in {"durations", "asking"}:
            assert found == expected, name
    for group, lasted in alone.durations.items():
        assert both.durations[group].counts == lasted.counts
        assert both.durations[group].total == pytest.approx(lasted.total)
    assert both.asking.counts == alone.asking.counts


def test_one_state_is_itself() -> None:
    alone = state(0, 7, *ONE)
    assert merged([alone]) is alone


def test_states_are_added_up() -> None:
    whole = merged([state(0, 7, *ONE), state(1, 8, *TWO)])
    assert whole.snapshot.requests == 6
    assert whole.snapshot.since == NOW
    assert whole.coding == Counts(decoded_in=6, seconds=1.0)
    assert (whole.evictions, whole.stores) == ({"room": 2}, {"stored": 4})
    assert (whole.fills, whole.connections, whole.tunnels) == ([FILL, FILL], 8, 2)
    assert whole.log_dropped == 10


def leader(name: str, requests: int, misses: int = 0, reason: str = "") -> Leader:
    return Leader(name, requests, requests * 10, misses, reason)


def test_the_busiest_of_all() -> None:
    one = Ranking((leader("a", 5), leader("b", 4)), (), (leader("b", 4, 1, "miss"),))
    two = Ranking((leader("b", 3), leader("c", 1)), (), (leader("b", 3, 2, "expired"),))
    both = merged(
        [
            State(0, 7, counted(), leaders=Leaders(one, one)),
            State(1, 8, counted(), leaders=Leaders(two, two)),
        ]
    ).leaders
    assert both.hosts == both.urls
    assert both.hosts.requests == (leader("b", 7), leader("a", 5), leader("c", 1))
    assert both.hosts.misses == (leader("b", 7, 3, "expired"),)


def test_a_line_of_each_worker() -> None:
    said = line(state(1, 8, *ONE))
    assert (said["worker"], said["pid"], said["started"]) == (1, 8, NOW + 1)
    assert (said["requests"], said["hits"], said["octets_cache"]) == (3, 2, 200)
    assert (said["connections"], said["tunnels"], said["fills"]) == (4, 1, 1)


def test_briefly_is_without_its_course() -> None:
    brief = briefly(counted(*ONE))
    assert brief.requests == 3
    assert (brief.seconds, brief.minutes) == ({}, {})


def requests(gone: Gone, *states: State) -> int:
    whole = merged([*states, *gone.silent(states)])
    assert whole.connections == 4 * len(states)
    return whole.snapshot.requests


def test_what_the_gone_have_counted_stays() -> None:
    gone, here = Gone(), state(0, 7)
    assert requests(gone, here, state(1, 8, *ONE)) == 3
    assert requests(gone, here) == 3  # it does not answer
    assert requests(gone, here, state(1, 8, *ONE, *TWO)) == 6
    assert requests(gone, here, state(1, 9, *TWO)) == 9  # another took its place
    assert requests(gone, here, state(1, 10)) == 9
    assert requests(gone, here) == 9


def test_a_state_goes_through_message_pack() -> None:
    top = Top()
    feed(top.take, ONE)
    sent = msgspec.structs.replace(state(1, 8, *ONE), leaders=top.leaders())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=State) == sent
