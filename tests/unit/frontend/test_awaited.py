"""A request whose answer comes from the disk: no task, the same order, the same ends."""

from __future__ import annotations

import pytest

from proxy.frontend.phase import Phase
from proxy.policy.reasons import Reason
from proxy.store.base import Found
from tests.support.door import Behind, Client, FakePrepared, get
from tests.support.transport import turns

HOT = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhot"
FOUND = Found((), 0)


def waiting(octets: bytes = get("/hot")) -> tuple[Behind, Client]:
    """A client that has sent these and waits."""
    behind = Behind()
    behind.hot.answers["http://a.example/hot"] = FakePrepared(HOT)
    behind.hot.comes = True
    client = behind.client()
    client.transport.feed(octets)
    return behind, client


async def test_it_is_answered_when_it_has_come() -> None:
    behind, client = waiting()
    assert client.connection.phase is Phase.BUSY
    assert not client.transport.written
    behind.hot.waiting.pop()(FOUND)
    assert client.transport.written == HOT
    assert client.open
    assert not behind.hot.memo, "once is not often"
    (record,) = behind.records
    assert record.what.reason is Reason.HIT
    assert record.elapsed > 0


@pytest.mark.parametrize("found", [None, FOUND], ids=["not to be had", "no answer to this"])
async def test_else_the_exchange_is_asked(found: Found | None) -> None:
    behind, client = waiting()
    behind.hot.answers.clear()
    behind.hot.waiting.pop()(found)
    await turns()
    assert client.transport.written.endswith(b"GET http://a.example/hot ")
    assert client.open


async def test_an_answer_that_no_longer_stands_is_not_sent() -> None:
    behind, client = waiting()
    behind.hot.answers["http://a.example/hot"].valid = False
    behind.hot.waiting.pop()(FOUND)
    await turns()
    assert client.transport.written.endswith(b"GET http://a.example/hot ")


async def test_what_is_sent_behind_it_waits_for_its_turn() -> None:
    behind, client = waiting(get("/hot") + get("/a"))
    (then,) = behind.hot.waiting
    then(FOUND)
    await turns()
    assert client.transport.written == HOT
    behind.hot.waiting[1](None)
    await turns()
    assert client.transport.written.endswith(b"GET http://a.example/a ")
    assert client.open


async def test_a_client_who_has_gone_gets_nothing() -> None:
    behind, client = waiting()
    client.transport.leave()
    await turns()
    behind.hot.waiting.pop()(FOUND)
    await turns()
    assert not client.transport.written
    assert not behind.records
    assert behind.empty


async def test_a_client_who_sends_no_more_is_still_answered() -> None:
    behind, client = waiting()
    client.transport.feed_eof()
    behind.hot.waiting.pop()(FOUND)
    await turns()
    assert client.transport.written == HOT
    assert client.transport.ended


async def test_while_the_door_closes_it_is_the_last_answer() -> None:
    behind, client = waiting(get("/hot") + get("/hot"))
    behind.door.drain()
    behind.hot.waiting.pop()(FOUND)
    await turns()
    assert client.transport.written == HOT
    assert client.transport.ended


async def test_a_fault_of_ours_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    behind, client = waiting()
    behind.hot.answers = None  # type: ignore[assignment]
    behind.hot.waiting.pop()(FOUND)
    await turns()
    assert "http://a.example/hot failed" in caplog.text
    assert client.transport.reset


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(get("/hot", minor=0), id="HTTP/1.0"),
        pytest.param(get("/hot", "Connection: close"), id="close"),
        pytest.param(get("/hot", method="POST"), id="another method"),
    ],
)
async def test_others_are_for_the_exchange(octets: bytes) -> None:
    behind, client = waiting(octets)
    await turns()
    assert not behind.hot.waiting
    assert b"http://a.example/hot " in client.transport.written
