"""An origin that says the same again is answered from without a task; any change is seen at once.

``primed`` has asked twice, so that what the origin says to the third request is expected. Each
test says whether the answer was short, and that nobody could tell from it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from proxy.upstream.fetch import Upstream
from tests.support.clock import http_date
from tests.support.origin import CLOSE, RESET, Gate, Origin, Play, Step, head, reply
from tests.support.wire import Cut, Response, Wire, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.exchange.record import ExchangeRecord
    from proxy.upstream.again import Again
    from proxy.upstream.base import OnInterim, Outgoing, Said
    from tests.conftest import StartHouse
    from tests.support.house import House

STALE: Final = "Cache-Control: max-age=0"
TAG: Final = 'ETag: "1"'
NO_STORE: Final = "Cache-Control: no-store"
BODY: Final = b"hello"


@dataclass
class Repeated:
    """What was sent again: ``short`` counts those answered without a task."""

    sent: list[Again] = field(default_factory=list)

    @property
    def short(self) -> int:
        return sum(bool(again.date) for again in self.sent)


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> Repeated:
    seen, original = Repeated(), Upstream.again

    def again(
        self: Upstream,
        outgoing: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None = None,
    ) -> Again | None:
        sent = original(self, outgoing, expected, fits, heard, on_interim)
        if sent is not None:
            seen.sent.append(sent)
        return sent

    monkeypatch.setattr(Upstream, "again", again)
    return seen


def serve_stale(origin: Origin, *steps: bytes | Gate | Step | Play) -> str:
    """A response to be validated each time; the third request gets ``steps``."""
    origin.serve("/a", reply(200, STALE, TAG, "X-V: 1", body=BODY))
    origin.serve("/a", reply(304, STALE, TAG, "X-V: 1"))
    origin.serve("/a", *steps)
    return origin.url("/a")


async def primed(house: House, url: str) -> Response:
    await house.get(url)
    return await house.get(url)


def told(answer: Response) -> tuple[object, ...]:
    """All that a client sees, but for the order of fields and the time."""
    lines = [(n.lower(), v) for n, v in answer.lines if n.lower() not in {"date", "age"}]
    return answer.status, sorted(lines), answer.body


async def test_the_same_304_is_answered_the_same(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    usual = await primed(house, url)
    assert repeated.sent == []
    for _ in range(3):
        answer = await house.get(url)
        assert told(answer) == told(usual)
        assert answer.get("age") == "0"
    assert repeated.short == 3
    assert len(origin.requests) == 5
    assert [r.raw for r in origin.requests[1:]] == [origin.requests[1].raw] * 4


async def test_date_and_age_are_those_of_the_new_304(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    then = http_date(-90)
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1", f"Date: {then}"))
    await primed(house, url)
    # The Date of the first 304 was now: the octets differ only there.
    answer = await house.get(url)
    assert answer.get("date") == then
    assert answer.get("age") in {"90", "91"}
    assert answer.cache_status["ttl"] in {"-91", "-92"}


async def test_several_on_one_connection_come_in_order(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    wire = await house.wire()
    await wire.send(request("GET", url) * 3)
    for _ in range(3):
        assert (await wire.response()).body == BODY
    assert repeated.short == 3


CHANGES = [
    pytest.param((reply(304, STALE, TAG, "X-V: 2"),), {"x-v": "2"}, BODY, id="a field of the 304"),
    pytest.param(
        (reply(304, STALE, TAG, "X-V: 1", "X-W: 1"),), {"x-w": "1"}, BODY, id="a field more"
    ),
    pytest.param(
        (reply(304, "Cache-Control: max-age=60", TAG, "X-V: 1"),),
        {"cache-control": "max-age=60"},
        BODY,
        id="it is fresh now",
    ),
    pytest.param(
        (reply(200, STALE, 'ETag: "2"', body=b"other"),), {"etag": '"2"'}, b"other", id="a 200"
    ),
    pytest.param((reply(404, body=b"gone"),), {}, b"gone", id="a 404"),
    pytest.param(
        (head(103, "Link: </x>", date=False), reply(304, STALE, TAG, "X-V: 1")),
        {"x-v": "1"},
        BODY,
        id="an interim head before it",
    ),
    pytest.param(
        (reply(304, STALE, TAG, "X-V: 1") + b"junk",), {"x-v": "1"}, BODY, id="octets left over"
    ),
    pytest.param(
        (reply(304, STALE, TAG, "X-V: 1", "Date: yesterday-----------------------"),),
        {"x-v": "1"},
        BODY,
        id="a Date that is none",
    ),
]


@pytest.mark.parametrize(("steps", "fields", "body"), CHANGES)
async def test_a_change_is_seen(
    house: House,
    origin: Origin,
    repeated: Repeated,
    steps: tuple[bytes, ...],
    fields: dict[str, str],
    body: bytes,
) -> None:
    url = serve_stale(origin, *steps)
    await primed(house, url)
    answer = await house.get(url)
    assert len(repeated.sent) == 1
    assert repeated.short == 0
    assert answer.body == body
    assert {name: answer.get(name) for name in fields} == fields
    assert len(origin.requests) == 3


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_lost_connection_is_made_good(
    house: House, origin: Origin, repeated: Repeated, end: Step
) -> None:
    url = serve_stale(origin, end)
    origin.serve("/a", reply(304, STALE, TAG, "X-V: 1"))
    usual = await primed(house, url)
    assert told(await house.get(url)) == told(usual)
    assert len(origin.requests) == 4


async def test_nonsense_is_an_error(house: House, origin: Origin, repeated: Repeated) -> None:
    url = serve_stale(origin, b"nonsense\r\n\r\n", CLOSE)
    await primed(house, url)
    answer = await house.get(url)
    assert (answer.status, answer.body) == (200, BODY)  # stale-if-error, by default for a day
    assert answer.cache_status["detail"] == "stale-if-error"


async def test_a_silent_origin_is_waited_for_no_longer_than_ever(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"upstream": {"read_timeout": "100ms"}})
    gate = Gate()
    url = serve_stale(origin, gate)
    await primed(house, url)
    answer = await house.get(url)
    assert answer.cache_status["detail"] == "stale-if-error"
    gate.open()


async def test_followers_get_it_too(house: House, origin: Origin, repeated: Repeated) -> None:
    gate = Gate()
    url = serve_stale(origin, gate, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    leader = await house.open(url)
    await gate.reached()
    followers = [await house.open(url) for _ in range(3)]
    await house.get("/healthz")  # what they sent has been read
    gate.open()
    for client in (leader, *followers):
        assert await client.rest() == BODY
    assert len(origin.requests) == 3
    assert repeated.short == 0
    assert (await house.get(url)).body == BODY
    assert repeated.short == 1


async def test_when_its_client_leaves_another_asks(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    gate = Gate()
    url = serve_stale(origin, gate, reply(304, STALE, TAG, "X-V: 1"))
    origin.serve("/a", reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    leader = await house.open(url)
    await gate.reached()
    follower = await house.open(url)
    await house.get("/healthz")
    await leader.wire.reset()
    assert await follower.rest() == BODY
    assert len(origin.requests) == 4
    gate.open()


async def test_what_is_removed_meanwhile_is_not_served(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    gate = Gate()
    url = serve_stale(origin, gate, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    reader = await house.open(url)
    await gate.reached()
    origin.serve("/a", reply(201, body=b""))
    origin.serve("/a", reply(200, STALE, 'ETag: "2"', body=b"other"))
    await house.get(url, method="POST", body=b"x")
    gate.open()
    await reader.rest()
    assert repeated.short == 0
    assert (await house.get(url)).body == b"other"


async def test_a_client_of_its_own_validator_gets_its_304(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    await house.get(url, 'If-None-Match: "1"')
    usual = await house.get(url, 'If-None-Match: "1"')
    assert usual.status == 304
    answer = await house.get(url, 'If-None-Match: "1"')
    assert told(answer) == told(usual)
    assert repeated.short == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Range: bytes=1-2", id="a range"),
        pytest.param("Authorization: Basic eDp5", id="credentials"),
        pytest.param(f"If-Modified-Since: {http_date(-9)}", id="a date"),
        pytest.param("Cache-Control: no-store", id="not to be stored"),
    ],
)
async def test_what_is_for_one_request_is_never_short(
    house: House, origin: Origin, repeated: Repeated, line: str
) -> None:
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    for _ in range(3):
        await house.get(url, line)
    assert repeated.sent == []


async def test_http_1_0_is_answered_in_its_own_way(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    for _ in range(3):
        assert (await house.get(url, minor=0)).body == BODY
    assert repeated.sent == []


async def test_a_large_body_is_whole(house: House, origin: Origin, repeated: Repeated) -> None:
    body = bytes(range(256)) * 400
    origin.serve("/a", reply(200, STALE, TAG, body=body))
    origin.serve("/a", reply(304, STALE, TAG))
    await primed(house, origin.url("/a"))
    assert (await house.get(origin.url("/a"))).body == body
    assert repeated.short == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Expires: 0", id="a lifetime from dates"),
        pytest.param("Cache-Control: no-cache", id="no lifetime at all"),
    ],
)
async def test_what_dates_decide_is_decided_anew(
    house: House, origin: Origin, repeated: Repeated, line: str
) -> None:
    origin.serve("/a", reply(200, line, TAG, body=BODY))
    origin.serve("/a", reply(304, line, TAG))
    for _ in range(3):
        assert (await house.get(origin.url("/a"))).body == BODY
    assert repeated.sent == []


# What may not be stored.


def serve_unstorable(origin: Origin, *steps: bytes | Gate | Step | Play) -> str:
    """The first request finds out, the second is expected; the third gets ``steps``."""
    for _ in range(2):
        origin.serve("/b", reply(200, NO_STORE, "X-V: 1", body=b"hello"))
    origin.serve("/b", *steps)
    return origin.url("/b")


async def test_what_may_not_be_stored_is_passed_on(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_unstorable(origin, reply(200, NO_STORE, "X-V: 1", body=b"other"))
    usual = await primed(house, url)
    for _ in range(2):
        answer = await house.get(url)
        assert answer.body == b"other"
        assert told(answer)[:2] == told(usual)[:2]
    assert repeated.short == 2
    assert len(origin.requests) == 4


@pytest.mark.parametrize(
    ("steps", "body"),
    [
        pytest.param(
            (reply(200, NO_STORE, "X-V: 1", body=b"longer"),), b"longer", id="another length"
        ),
        pytest.param(
            (reply(200, "Cache-Control: max-age=60", body=b"stored"),), b"stored", id="storable now"
        ),
        pytest.param((reply(500, body=b"no"),), b"no", id="an error"),
    ],
)
async def test_anything_else_goes_its_usual_way(
    house: House, origin: Origin, repeated: Repeated, steps: tuple[bytes, ...], body: bytes
) -> None:
    url = serve_unstorable(origin, *steps)
    await primed(house, url)
    assert (await house.get(url)).body == body
    assert (len(repeated.sent), repeated.short) == (1, 0)


async def test_a_body_in_pieces_is_whole(house: House, origin: Origin, repeated: Repeated) -> None:
    gate = Gate()
    url = serve_unstorable(
        origin, head(200, NO_STORE, "X-V: 1", "Content-Length: 5") + b"he", gate, b"llo"
    )
    await primed(house, url)
    reader = await house.open(url)
    assert await reader.read(2) == b"he"
    gate.open()
    assert await reader.rest() == b"llo"
    assert repeated.short == 0


async def test_a_cut_body_is_seen_to_be_cut(
    house: House, origin: Origin, repeated: Repeated
) -> None:
    url = serve_unstorable(
        origin, head(200, NO_STORE, "X-V: 1", "Content-Length: 5") + b"he", CLOSE
    )
    await primed(house, url)
    wire = await Wire.connect(house.port)
    await wire.send(request("GET", url))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError, Cut)):
        await wire.response()
    await wire.close()


async def test_it_is_in_the_log_like_any_other(
    house: House, origin: Origin, repeated: Repeated, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[ExchangeRecord] = []
    monkeypatch.setattr(house.running.door, "observe", records.append)
    url = serve_stale(origin, reply(304, STALE, TAG, "X-V: 1"))
    await primed(house, url)
    await house.get(url)
    assert repeated.short == 1
    usual, short = ((one.client, replace(one.what, asked=0.0)) for one in records[-2:])
    assert short == usual
    assert all(one.what.asked > 0 for one in records[-2:])
