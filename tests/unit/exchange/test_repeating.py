"""What an echo depends on: when one of it has changed, it is forgotten, and nothing is sent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.codings.transform import AsStored
from proxy.exchange import echo
from proxy.exchange.answer import Inbound
from proxy.exchange.flights import Flights, Follow, Lead, Left, Uncacheable
from proxy.exchange.forms import View
from proxy.exchange.origin import Asked, Errand, Wanted
from proxy.exchange.repeating import Repeats
from proxy.exchange.voice import Voice
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.semantics.fields import Fields
from proxy.store.base import Found
from proxy.upstream.base import Outgoing
from tests.support.build import req, resp
from tests.support.fakes import FakeFetcher, FakeResponse, FakeStore
from tests.support.stored import NOW, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.exchange.echo import Echo
    from proxy.semantics.messages import Request
    from proxy.upstream.base import OnInterim, Said

URL = "http://a.example/x"
DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
OCTETS = f"HTTP/1.1 304 Not Modified\r\n{DATE}\r\nCache-Control: max-age=0\r\n\r\n".encode()


class Sent:
    """A ``Repeated``."""

    date = ""
    body = b""
    closed = 0

    async def instead(self) -> FakeResponse:
        raise AssertionError("nobody asks")

    def close(self) -> None:
        self.closed += 1


class Sending(FakeFetcher):
    """Always has an idle connection."""

    def again(
        self,
        request: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None = None,
    ) -> Sent:
        self.fits = fits
        self.sent = Sent()
        return self.sent


class Place:
    """A request whose validation brought no news just now."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.flights = Flights()
        self.fetcher = Sending()
        self.repeats = Repeats(self.store, self.flights, self.fetcher, Voice("p"))
        self.inbound = Inbound(req(f"GET {URL}"), None, None, lambda _: None)
        now = time.time()
        held = replace(stored("max-age=0", DATE, 'ETag: "1"'), request_time=now, response_time=now)
        self.stored = self.store.add(URL, held, b"hello")
        self.found = Found((self.stored,), 1)
        self.store.peek = lambda key: self.found  # type: ignore[method-assign]
        self.remember(_echo(self.inbound, self.found))

    def remember(self, known: Echo | None) -> None:
        assert known is not None
        self.known = known
        echo.keep(self.inbound.request, known)

    @property
    def request(self) -> Request:
        return self.inbound.request


def _echo(inbound: Inbound, found: Found, wanted: Wanted | None = None) -> Echo | None:
    wanted = wanted or Wanted(Reason.EXPIRED, Fields([("If-None-Match", '"1"')]))
    response = FakeResponse(resp(304, "max-age=0", DATE), (), 0)
    response.octets = OCTETS
    outgoing = Outgoing("GET", inbound.request.uri, inbound.request.fields)
    asked = Asked(response, response.head, NOW, NOW, outgoing, negotiated=False)
    errand = Errand(inbound, URL, found, wanted)
    view = View(inbound.request, AsStored(), found.variants[0], URL)
    return echo.of_validation(errand, asked, found.variants[0], view, Options())


def test_what_stands_is_sent_and_led() -> None:
    place = Place()
    repeating = place.repeats.begin(place.inbound, lambda: None)
    assert repeating is not None
    assert place.flights.under_way(URL, 0)
    assert place.fetcher.fits()


def _time_has_passed(place: Place) -> None:
    # A minute after it was written down its time is news (DECISIONS 9).
    place.remember(place.known._replace(until=time.time() - 1))


def _another_generation(place: Place) -> None:
    place.found = Found((place.stored,), 2)


def _gone(place: Place) -> None:
    place.found = Found((), 2)


@pytest.mark.parametrize("change", [_time_has_passed, _another_generation, _gone])
def test_what_does_not_stand_is_forgotten(change: Callable[[Place], None]) -> None:
    place = Place()
    change(place)
    assert place.repeats.begin(place.inbound, lambda: None) is None
    assert not echo.is_remembered(place.request)


def test_nothing_is_sent_beside_a_flight() -> None:
    place = Place()
    assert isinstance(place.flights.join(URL, 0.0, 0), Lead)
    assert place.repeats.begin(place.inbound, lambda: None) is None
    assert echo.is_remembered(place.request)


def _changed_since(place: Place) -> None:
    place.found = Found((place.stored,), place.found.generation + 1)


def _body_left_memory(place: Place) -> None:
    place.store.lost.add(place.stored.id)


@pytest.mark.parametrize("change", [_changed_since, _body_left_memory])
def test_the_short_answer_fits_no_more(change: Callable[[Place], None]) -> None:
    place = Place()
    assert place.repeats.begin(place.inbound, lambda: None) is not None
    change(place)
    assert not place.fetcher.fits()


async def test_the_short_answer_is_for_one() -> None:
    place = Place()
    repeating = place.repeats.begin(place.inbound, lambda: None)
    assert repeating is not None
    role = place.flights.join(URL, 0.0, 0)
    assert isinstance(role, Follow)
    follower = asyncio.create_task(role.flight.landed())
    await asyncio.sleep(0)
    assert not place.fetcher.fits()
    repeating.cancel()
    assert await follower == Left()


def test_who_leaves_closes_what_was_sent() -> None:
    place = Place()
    repeating = place.repeats.begin(place.inbound, lambda: None)
    assert repeating is not None
    repeating.cancel()
    assert place.fetcher.sent.closed == 1
    assert not place.flights.under_way(URL, 0)


def test_what_a_task_has_taken_is_the_tasks() -> None:
    place = Place()
    repeating = place.repeats.begin(place.inbound, lambda: None)
    assert repeating is not None
    repeating.take()
    repeating.cancel()
    assert place.fetcher.sent.closed == 0
    assert place.flights.under_way(URL, 0)


@pytest.mark.parametrize(
    ("lines", "variants"),
    [
        pytest.param(("max-age=0", DATE), 2, id="more than one is stored"),
        pytest.param(("", DATE, "Expires: 0"), 1, id="RFC 9111 4.2.1: Expires less Date"),
        pytest.param(("no-cache", DATE), 1, id="no lifetime"),
    ],
)
def test_what_is_not_remembered(lines: tuple[str, ...], variants: int) -> None:
    inbound = Inbound(req(f"GET {URL}"), None, None, lambda _: None)
    found = Found((stored(*lines),) * variants, 1)
    assert _echo(inbound, found) is None


def test_an_uncacheable_key_is_asked_for_alone() -> None:
    place = Place()
    response = FakeResponse(resp(200, "no-store", DATE), (), 5)
    response.octets = OCTETS
    outgoing = Outgoing("GET", place.request.uri, place.request.fields)
    asked = Asked(response, response.head, NOW, NOW, outgoing, negotiated=False)
    place.found = Found((), 1)
    errand = Errand(place.inbound, URL, place.found, Wanted(Reason.MISS))
    passing = echo.of_passing(errand, asked, Reason.NOT_STORED_NO_STORE, Voice("p"))
    place.remember(passing)
    # Nobody said that it is uncacheable: the next one may find out for others, too.
    assert place.repeats.begin(place.inbound, lambda: None) is None
    place.remember(passing)
    place.flights.uncacheable(URL, time.time())
    assert place.repeats.begin(place.inbound, lambda: None) is not None
    assert not place.flights.under_way(URL, 0)
    assert place.fetcher.fits()


def test_landing_twice_is_landing_once() -> None:
    place = Place()
    repeating = place.repeats.begin(place.inbound, lambda: None)
    assert repeating is not None
    flight = repeating.errand.flight
    assert flight is not None
    flight.land(Uncacheable())
    repeating.cancel()
    assert flight.outcome == Uncacheable()
