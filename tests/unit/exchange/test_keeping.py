"""Fills from begin to commit: what is stored, what never is, and who ends what."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.codings.options import CodingOptions
from proxy.exchange import tasks
from proxy.exchange.fill import WINDOW, Fill, FillState
from proxy.exchange.flights import Filling, Flights, Lead
from proxy.exchange.joined import Joined
from proxy.exchange.keeping import PUMP, Keeping
from proxy.exchange.transcoding import Workshop
from proxy.policy.partial import LONGEST
from proxy.policy.stored import Part
from proxy.semantics.units import Octets, Seconds
from proxy.store.base import StoreFailed, TooLarge
from proxy.upstream.base import Lost
from tests.support.build import resp
from tests.support.fakes import FakeBody, FakeResponse, FakeStore, Step
from tests.support.origin import Gate
from tests.support.stored import stored

if TYPE_CHECKING:
    from proxy.policy.partial import Finish
    from proxy.policy.stored import StoredResponse

KEY = "http://a.example/x"
CUT = Lost(502, "connection_terminated", "cut")
STORED = stored("max-age=60")
BLOCK = bytes(65536)


class Place:
    """A store, flights and what keeps; one flight to land."""

    def __init__(self, finish_fill: Finish = LONGEST) -> None:
        self.store = FakeStore()
        self.flights = Flights()
        self.keeping = Keeping(self.store, self.flights, finish_fill, Workshop(CodingOptions()))
        role = self.flights.join(KEY, 0.0, 0)
        assert isinstance(role, Lead)
        self.flight = role.flight

    def begin(self, response: FakeResponse, largest: int | None = None) -> Fill:
        return self.keeping.begin(KEY, STORED, response, 0, self.flight, largest)

    @property
    def bodies(self) -> list[bytes]:
        return [self.store.bodies[one.id] for one in self.store.at(KEY)]

    @property
    def counted(self) -> dict[str, int]:
        """What came of storing, but for what never did."""
        return {outcome: count for outcome, count in self.keeping.ended.items() if count}

    @property
    def is_over(self) -> bool:
        """Nobody follows any more."""
        return not self.flights.under_way(KEY, 0)


def answer(*steps: Step, length: int | None = None) -> FakeResponse:
    return FakeResponse(resp(200), steps, length)


async def ended() -> None:
    await tasks.finish(PUMP, 5.0)


async def stopped(fill: Fill) -> None:
    """It has been given up within a few turns of the loop."""
    for _ in range(9):
        await asyncio.sleep(0)
    assert fill.state is FillState.BROKEN


async def test_a_body_at_hand_is_committed() -> None:
    place = Place()
    fill = place.begin(answer(b"abc"))
    assert (fill.at_hand, fill.length) == (b"abc", 3)
    assert place.flight.outcome == Filling(fill)
    await ended()
    assert (place.bodies, place.is_over) == ([b"abc"], True)


@pytest.mark.parametrize(
    "size", [pytest.param(3, id="in memory"), pytest.param(8 * 65536, id="spooled")]
)
async def test_a_streamed_body_is_committed(size: int) -> None:
    place, gate = Place(), Gate()
    chunks = [bytes(min(65536, size - start)) for start in range(0, size, 65536)]
    response = answer(gate, *chunks)
    fill = place.begin(response)
    assert place.flight.outcome == Filling(fill)
    gate.open()
    await ended()
    assert place.bodies == [bytes(size)]
    assert place.counted == {"stored": 1}
    assert (place.is_over, response.closed) == (True, 1)
    assert [spool.abandoned for spool in place.store.spools] == [1] * (size > WINDOW)


async def test_it_may_be_followed_until_it_is_committed() -> None:
    place = Place()
    place.store.commits = Gate()
    fill = place.begin(answer(b"abc"))
    assert place.keeping.arrived(KEY) is fill
    await place.store.commits.reached()
    assert not place.is_over
    place.store.commits.open()
    await ended()
    assert (place.is_over, place.keeping.arrived(KEY)) == (True, None)


async def test_what_flows_has_not_arrived() -> None:
    place, gate = Place(), Gate()
    place.begin(answer(b"abc", gate))
    await gate.reached()
    assert place.keeping.arrived(KEY) is None
    gate.open()
    await ended()


async def test_what_was_removed_meanwhile_does_not_count_as_arrived() -> None:
    place = Place()
    place.store.commits = Gate()
    place.begin(answer(b"abc"))
    await place.store.remove(KEY)
    assert place.keeping.arrived(KEY) is None
    place.store.commits.open()
    await ended()
    assert place.bodies == []
    assert place.counted == {"removed": 1}


@pytest.mark.parametrize(
    ("down", "largest", "rule", "error"),
    [
        pytest.param(True, 100, None, StoreFailed, id="store down"),
        pytest.param(False, 9, None, TooLarge, id="larger than the store takes"),
        pytest.param(False, 100, 9, TooLarge, id="larger than the rule lets"),
    ],
)
async def test_refused_before_anything_is_taken(
    down: bool, largest: int, rule: int | None, error: type[Exception]
) -> None:
    place = Place()
    place.store.down, place.store.largest = down, largest
    response = answer(b"0123456789", length=10)
    with pytest.raises(error):
        place.begin(response, rule)
    assert place.counted == {"failed" if down else "too-large": 1}
    assert response.at_hand() == b"0123456789"
    assert place.flight.outcome is None


@pytest.mark.parametrize("steps", [pytest.param(1, id="at hand"), pytest.param(2, id="streamed")])
async def test_a_rules_limit_holds_for_unknown_lengths_too(steps: int) -> None:
    place, gate = Place(), Gate()
    gate.open()
    response = answer(b"01234", b"56789") if steps == 1 else answer(b"01234", gate, b"56789")
    fill = place.begin(response, 9)
    reader = fill.reader()
    await ended()
    assert await reader.read() + await reader.read() == b"0123456789"
    assert (place.bodies, place.is_over) == ([], True)
    assert place.counted == {"too-large": 1}


@pytest.mark.parametrize("size", [pytest.param(3, id="in memory"), pytest.param(5, id="spooled")])
async def test_a_store_that_fails_at_the_commit(size: int) -> None:
    place, gate = Place(), Gate()
    fill = place.begin(answer(gate, *[BLOCK] * size))
    reader = fill.reader()
    place.store.down = True
    gate.open()
    await ended()
    octets = b""
    while piece := await reader.read():
        octets += piece
    assert octets == BLOCK * size
    assert (place.bodies, place.is_over) == ([], True)
    assert place.counted == {"failed": 1}
    assert [spool.abandoned for spool in place.store.spools] == [1] * (size > 4)


@pytest.mark.parametrize(
    ("room", "largest"),
    [
        pytest.param(0, 2**30, id="disk full"),
        pytest.param(None, 4 * 65536, id="longer than the store takes"),
    ],
)
async def test_a_spool_that_fails_goes_on_for_its_readers(room: int | None, largest: int) -> None:
    place, gate = Place(), Gate()
    place.store.room, place.store.largest = room, largest
    fill = place.begin(answer(*[BLOCK] * 8, gate, BLOCK))
    reader = fill.reader()
    octets = b""
    while len(octets) < 8 * len(BLOCK):
        octets += await reader.read()
    await gate.reached()
    assert place.is_over
    gate.open()
    while piece := await reader.read():
        octets += piece
    await ended()
    assert octets == BLOCK * 9
    assert (place.bodies, place.store.spools[0].abandoned) == ([], 1)
    assert place.counted == {"too-large" if room is None else "failed": 1}


async def test_a_cut_body_is_never_stored() -> None:
    place, gate = Place(), Gate()
    response = answer(b"abc", gate, CUT, length=6)
    fill = place.begin(response)
    gate.open()
    await ended()
    assert (fill.state, fill.error, response.closed) == (FillState.BROKEN, CUT, 1)
    assert (place.bodies, place.is_over) == ([], True)
    assert place.counted == {"incomplete": 1}


async def test_what_nobody_reads_from_the_beginning_is_for_the_cache() -> None:
    place, gate = Place(Octets(0)), Gate()
    fill = place.begin(answer(b"abc", gate, b"def"))
    await gate.reached()
    fill.reader().close()
    gate.open()
    await ended()
    assert place.bodies == [b"abcdef"]


@pytest.mark.parametrize(
    ("finish", "bodies"),
    [
        pytest.param(Octets(3), [b"abcdef"], id="little is missing"),
        pytest.param(Octets(2), [], id="too much"),
        pytest.param(Seconds(60.0), [b"abcdef"], id="in time"),
        pytest.param(Seconds(0.0), [], id="too late"),
    ],
)
async def test_a_deserted_fill_goes_on_or_stops_at_once(
    finish: Finish, bodies: list[bytes]
) -> None:
    place, gate = Place(finish), Gate()
    response = answer(b"abc", gate, b"def", length=6)
    fill = place.begin(response)
    reader = fill.reader()
    await gate.reached()
    reader.close()
    if not bodies:
        await stopped(fill)  # although the origin says nothing
        await ended()
        assert (response.closed, place.counted, place.is_over) == (1, {"incomplete": 1}, True)
    gate.open()
    await ended()
    assert place.bodies == bodies


async def test_nobody_can_join_what_is_about_to_stop() -> None:
    place, never = Place(Octets(0)), Gate()
    fill = place.begin(answer(b"abc", never))
    reader = fill.reader()
    await never.reached()
    reader.close()
    while not place.is_over:
        assert place.keeping.latest(KEY) is fill  # whom to join saves it
        await asyncio.sleep(0)
    assert (place.keeping.latest(KEY), fill.state) == (None, FillState.BROKEN)
    await ended()


async def test_a_reader_that_comes_back_saves_it() -> None:
    place, gates = Place(Octets(0)), [Gate(), Gate()]
    fill = place.begin(answer(b"a", gates[0], *[b"x"] * 100, gates[1]))
    leaving = fill.reader()
    await gates[0].reached()
    leaving.close()
    reader = fill.reader()
    gates[0].open()
    await gates[1].reached()
    gates[1].open()
    await ended()
    reader.close()
    assert place.bodies == [b"a" + b"x" * 100]


async def test_a_spool_is_given_back_when_it_stops() -> None:
    place, never = Place(Octets(0)), Gate()
    fill = place.begin(answer(*[BLOCK] * 8, never))
    reader = fill.reader()
    await never.reached()
    reader.close()
    await stopped(fill)
    await ended()
    assert [spool.abandoned for spool in place.store.spools] == [1]


async def test_what_is_stored_may_be_lost_while_it_is_made_into_more() -> None:
    place, gate = Place(), Gate()
    body = FakeBody(b"abc")
    joined = Joined(body, answer(gate, b"d"), 1, found_first=True)
    fill = place.keeping.begin(KEY, STORED, joined, 0, None, None)
    body.lost = True
    gate.open()
    await ended()
    assert isinstance(fill.error, Lost)


async def test_a_window_that_nobody_reads_is_cut() -> None:
    place, never = Place(), Gate()
    place.store.room = 0
    response = answer(*[BLOCK] * 5, never)
    place.begin(response)
    await ended()
    assert response.closed == 1


async def test_a_cancelled_fill_is_broken_and_over() -> None:
    place, never = Place(), Gate()
    response = answer(b"abc", never)
    fill = place.begin(response)
    await never.reached()
    await tasks.finish(PUMP, 0)
    assert (fill.state, place.is_over, response.closed) == (FillState.BROKEN, True, 1)
    assert place.bodies == []


@pytest.mark.parametrize(
    ("body", "stored_bodies"),
    [
        pytest.param(b"0123", [b"0123"], id="as long as its range"),
        pytest.param(b"012", [], id="shorter"),
        pytest.param(b"01234", [], id="longer"),
    ],
)
async def test_a_part_is_as_long_as_its_range(body: bytes, stored_bodies: list[bytes]) -> None:
    # RFC 9110 §14.4; a chunked 206 says nothing about its length.
    place = Place()
    part = replace(STORED, part=Part(0, 3, 10))
    place.keeping.begin(KEY, part, answer(body), 0, None, None)
    await ended()
    assert place.bodies == stored_bodies
    assert place.counted == {"stored" if stored_bodies else "incomplete": 1}


async def test_stored_after_all_ends_the_memory_of_uncacheable() -> None:
    place = Place()
    place.flights.uncacheable(KEY, 1e12)
    place.begin(answer(b"abc"))
    await ended()
    assert isinstance(place.flights.join(KEY, 0.0, 0), Lead)


@pytest.mark.parametrize(
    ("later", "body"),
    [
        pytest.param(
            replace(STORED, id="new", request_time=STORED.request_time + 1), b"new", id="later"
        ),
        pytest.param(
            replace(STORED, id="new", request_time=STORED.request_time - 1), b"old", id="earlier"
        ),
        pytest.param(
            replace(
                STORED, id="new", request_time=STORED.request_time + 1, selecting=(("a", "b"),)
            ),
            b"old",
            id="another variant",
        ),
    ],
)
async def test_what_was_asked_for_later_stays(later: StoredResponse, body: bytes) -> None:
    place, gate = Place(), Gate()
    place.begin(answer(gate, b"old"))
    place.keeping.begin(KEY, later, answer(b"new"), 0, None, None)
    for _ in range(9):
        await asyncio.sleep(0)
    assert place.bodies == [b"new"]
    gate.open()
    await ended()
    assert place.bodies[0] == body
    assert place.is_over
    assert place.counted == ({"stored": 1, "removed": 1} if body == b"new" else {"stored": 2})


async def test_what_is_on_its_way_is_known_by_the_beginning_of_its_key() -> None:
    place = Place()
    place.begin(answer(b"hello"))
    assert place.keeping.begins("http://a.example/")
    assert not place.keeping.begins("http://b.example/")
    await ended()
    assert not place.keeping.begins("http://a.example/")
