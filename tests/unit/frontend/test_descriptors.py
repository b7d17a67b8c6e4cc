from __future__ import annotations

import logging

import pytest

from proxy.frontend import door as door_module
from proxy.frontend.descriptors import Descriptors
from tests.support.door import Behind, get
from tests.support.transport import turns


class Idle:
    """So many connections that are idle."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def close(self, count: int) -> int:
        self.asked.append(count)
        closed = min(count, self.count)
        self.count -= closed
        return closed


def test_an_eighth_is_left_to_others(caplog: pytest.LogCaptureFixture) -> None:
    idle = Idle(16)
    descriptors = Descriptors(128, idle.close)
    assert not descriptors.are_short(111)
    assert idle.asked == []
    with caplog.at_level(logging.WARNING):
        assert [descriptors.are_short(112 + n) for n in range(16)] == [False] * 16
        assert idle.asked == [16], "once for as many as it made room for"
        assert descriptors.are_short(112)
        assert descriptors.are_short(112)
    assert idle.asked == [16, 16], "not again at once"
    assert len(caplog.records) == 1
    assert not descriptors.are_gone(119)
    assert descriptors.are_gone(120)


def test_what_was_closed_is_not_counted_twice() -> None:
    idle = Idle(32)
    descriptors = Descriptors(128, idle.close)
    assert not descriptors.are_short(112)
    assert not descriptors.are_short(20)
    assert not descriptors.are_short(112)
    assert idle.asked == [16, 16]


@pytest.mark.parametrize("most", [8, 3, 1])
def test_very_few(most: int) -> None:
    assert not Descriptors(most, Idle(1).close).are_short(most - 1)


async def test_those_that_were_idle_longest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "GRACE", 0.0)
    behind = Behind()
    old, young, busy = [behind.client() for _ in range(3)]
    for client, since in ((old, 100), (young, 50), (busy, 200)):
        client.connection.since -= since
    busy.transport.feed(get("/a")[:-2])
    busy.connection.since -= 200
    behind.fetcher.idle = True
    assert behind.door.make_room(1) == 2
    await turns()
    lost = [client.transport.lost for client in (old, young, busy)]
    assert lost == [True, False, False]
