"""One fill, many readers."""

import asyncio
import hashlib

import pytest

from proxy.exchange import fetching, fill
from tests.conftest import StartHouse
from tests.support.house import House
from tests.support.origin import AWAIT_CLOSE, CLOSE, Gate, Origin, Stream, head, reply
from tests.support.wire import DEADLINE, Cut

FRESH = "Cache-Control: max-age=60"


async def test_followers_stream_while_the_leader_fills(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 11") + b"first", gate, b"second")
    leader = await house.open(origin.url("/a"))
    assert await leader.read(5) == b"first"
    followers = [await house.open(origin.url("/a")) for _ in range(5)]
    for follower in followers:
        assert await follower.read(5) == b"first"
    gate.open()
    for reader in (leader, *followers):
        assert await reader.rest() == b"second"
    assert len(origin.requests) == 1


async def test_followers_wait_for_the_head_and_say_collapsed(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"hello"))
    await house.open(origin.url("/a"))
    await gate.reached()
    follower = await house.open(origin.url("/a"))
    ready = await house.get("/healthz")
    assert ready.status == 200
    gate.open()
    assert await follower.rest() == b"hello"
    assert "collapsed" in ((await follower.head()).get("cache-status") or "")
    assert len(origin.requests) == 1


async def test_who_has_waited_long_for_the_head_asks_by_itself(
    house: House, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request that is ahead may hang, or be a long poll."""
    monkeypatch.setattr(fetching, "PATIENCE", 0.05)
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"late"))
    origin.serve("/a", reply(200, FRESH, body=b"own"))
    leader = await house.open(origin.url("/a"))
    await gate.reached()
    assert (await house.get(origin.url("/a"))).body == b"own"
    gate.open()
    assert await leader.rest() == b"late"


async def test_a_failure_lets_all_who_waited_go_at_once(house: House, origin: Origin) -> None:
    first, second = Gate(), Gate()
    origin.serve("/a", first, CLOSE)
    origin.serve("/a", second, reply(200, FRESH, body=b"hello"))
    leader = await house.open(origin.url("/a"))
    await first.reached()
    followers = [await house.open(origin.url("/a")) for _ in range(12)]
    assert (await house.get("/healthz")).status == 200
    first.open()
    assert (await leader.head()).status == 502
    await origin.seen(13)
    second.open()
    assert [await follower.rest() for follower in followers] == [b"hello"] * 12


async def test_no_cache_is_not_collapsed_into_what_began_before_it(
    house: House, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"old"))
    origin.serve("/a", reply(200, FRESH, body=b"new"))
    leader = await house.open(origin.url("/a"))
    await gate.reached()
    assert (await house.get(origin.url("/a"), "Cache-Control: no-cache")).body == b"new"
    gate.open()
    assert await leader.rest() == b"old"


async def test_a_head_request_follows_too(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    leader = await house.open(origin.url("/a"))
    assert await leader.read(3) == b"one"
    answer = await house.get(origin.url("/a"), method="HEAD")
    assert answer.get("content-length") == "6"
    gate.open()
    assert await leader.rest() == b"two"
    assert [received.method for received in origin.requests] == ["GET"]


async def test_the_fill_goes_on_when_its_first_client_leaves(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    leader = await house.open(origin.url("/a"))
    follower = await house.open(origin.url("/a"))
    assert await leader.read(3) == b"one" == await follower.read(3)
    await leader.wire.reset()
    gate.open()
    assert await follower.rest() == b"two"
    assert (await house.get(origin.url("/a"))).body == b"onetwo"
    assert len(origin.requests) == 1


async def test_the_fill_goes_on_when_its_first_client_leaves_without_a_head(
    start_house: StartHouse, origin: Origin
) -> None:
    # It waits for octets to encode; who takes them as they are has the head at once.
    house, gate, text = await start_house({"coding": {"encode": "always"}}), Gate(), b"text" * 9999
    said = (FRESH, "Content-Type: text/plain", f"Content-Length: {len(text)}")
    origin.serve("/a", head(200, *said), gate, text)
    leader = await house.open(origin.url("/a"), "Accept-Encoding: gzip")
    await gate.reached()
    follower = await house.open(origin.url("/a"), "Accept-Encoding: identity")
    await follower.head()
    await leader.wire.reset()
    await house.get(origin.url("/b"))
    gate.open()
    assert await follower.rest() == text
    assert origin.count("/a") == 1


async def test_a_cacheable_fill_goes_on_when_all_have_left(house: House, origin: Origin) -> None:
    gate, sent = Gate(), Gate()
    sent.open()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two", sent)
    leader = await house.open(origin.url("/a"))
    assert await leader.read(3) == b"one"
    await leader.wire.reset()
    gate.open()
    await sent.reached()
    assert (await house.get(origin.url("/a"))).body == b"onetwo"
    assert len(origin.requests) == 1


async def test_an_uncacheable_fill_is_cut_when_its_client_leaves(
    house: House, origin: Origin
) -> None:
    lines = ("Cache-Control: no-store", "Content-Length: 1000")
    origin.serve("/a", head(200, *lines) + b"one", AWAIT_CLOSE)
    client = await house.open(origin.url("/a"))
    assert await client.read(3) == b"one"
    await client.wire.reset()
    async with asyncio.timeout(2):
        await origin.requests[0].closed.wait()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Cache-Control: no-store", id="no-store"),
        pytest.param("Cache-Control: private, max-age=60", id="private"),
        pytest.param("Vary: *", id="vary any"),
    ],
)
async def test_what_may_not_be_shared_is_not_shared(
    house: House, origin: Origin, line: str
) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, line, body=b"mine"))
    origin.serve("/a", reply(200, line, body=b"yours"))
    leader = await house.open(origin.url("/a"))
    await gate.reached()
    follower = await house.open(origin.url("/a"))
    gate.open()
    assert await leader.rest() == b"mine"
    assert await follower.rest() == b"yours"


async def test_a_vary_that_does_not_fit_goes_its_own_way(house: House, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, "Vary: X-A", body=b"one"))
    origin.serve("/a", reply(200, FRESH, "Vary: X-A", body=b"two"))
    leader = await house.open(origin.url("/a"), "X-A: 1")
    await gate.reached()
    same = await house.open(origin.url("/a"), "X-A: 1")
    other = await house.open(origin.url("/a"), "X-A: 2")
    gate.open()
    assert [await r.rest() for r in (leader, same, other)] == [b"one", b"one", b"two"]
    assert len(origin.requests) == 2


async def test_a_key_that_proved_uncacheable_is_not_queued_for(
    house: House, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", reply(200, "Cache-Control: no-store", body=b"first"))
    origin.serve("/a", gate, reply(200, "Cache-Control: no-store", body=b"held"))
    origin.serve("/a", reply(200, "Cache-Control: no-store", body=b"free"))
    await house.get(origin.url("/a"))
    held = await house.open(origin.url("/a"))
    await gate.reached()
    assert (await house.get(origin.url("/a"))).body == b"free"
    gate.open()
    assert await held.rest() == b"held"


async def test_a_truncated_fill_is_told_to_every_reader_and_not_stored(
    house: House, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 10") + b"first", gate, CLOSE)
    origin.serve("/a", reply(200, FRESH, body=b"0123456789"))
    readers = [await house.open(origin.url("/a"))]
    assert await readers[0].read(5) == b"first"
    readers.append(await house.open(origin.url("/a")))
    assert await readers[1].read(5) == b"first"
    gate.open()
    for reader in readers:
        with pytest.raises((Cut, ConnectionResetError)):
            await reader.rest()
    answer = await house.get(origin.url("/a"))
    assert (answer.body, answer.hit) == (b"0123456789", False)


async def test_who_stops_reading_does_not_hold_the_others_of_what_is_not_stored(
    start_house: StartHouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns out to be too large while it is read: nothing but a window is kept of it."""
    monkeypatch.setattr(fill, "PATIENCE", 0.2)
    house, stream, gate = (
        await start_house({"cache": {"max_object_size": "1MiB"}}),
        Stream(2**26),
        Gate(),
    )
    origin.serve("/a", head(200, FRESH), gate, stream, CLOSE)
    stalled = await house.open(origin.url("/a"), window=4096)
    await gate.reached()
    reader = await house.open(origin.url("/a"))
    await asyncio.gather(stalled.head(), reader.head())
    gate.open()
    seen = hashlib.sha256()
    while piece := await reader.some():
        seen.update(piece)
    assert seen.hexdigest() == stream.sha256
    assert len(origin.requests) == 1
    with pytest.raises((ConnectionError, Cut)):
        await stalled.rest()


async def test_a_slow_follower_does_not_hold_the_others(house: House, origin: Origin) -> None:
    size = 8 * 2**20
    origin.serve("/a", reply(200, FRESH, body=bytes(size)))
    slow = await house.open(origin.url("/a"), window=4096)
    await slow.head()
    for _ in range(2):
        assert len((await house.get(origin.url("/a"))).body) == size
    assert len(origin.requests) == 1
    async with asyncio.timeout(2 * DEADLINE):
        assert len(await slow.rest()) == size
