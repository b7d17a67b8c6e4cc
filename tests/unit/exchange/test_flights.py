"""Roles in a flight, what ends it, and the memory of what proved uncacheable."""

from __future__ import annotations

import pytest

from proxy.exchange.flights import (
    REMEMBER,
    Alone,
    Failing,
    Flight,
    Flights,
    Follow,
    Lead,
    Left,
    Uncacheable,
)

KEY = "http://a.example/x"
NOW = 1000.0


def lead(under_test: Flights, key: str = KEY, removals: int = 0, now: float = NOW) -> Flight:
    role = under_test.join(key, now, removals)
    assert isinstance(role, Lead)
    return role.flight


async def test_the_first_leads_and_the_others_follow() -> None:
    under_test = Flights()
    flight = lead(under_test)
    assert under_test.join(KEY, NOW, 0) == Follow(flight, early=True)
    assert isinstance(under_test.join("http://a.example/y", NOW, 0), Lead)


async def test_who_joins_after_the_head_is_not_early() -> None:
    under_test = Flights()
    flight = lead(under_test)
    flight.land(Uncacheable())
    assert under_test.join(KEY, NOW, 0) == Follow(flight, early=False)


@pytest.mark.parametrize(
    ("since", "role"),
    [
        pytest.param(0.0, Follow, id="any"),
        pytest.param(NOW, Follow, id="no older than that"),
        pytest.param(NOW + 1, Lead, id="a newer one"),
        pytest.param(float("inf"), Lead, id="none at all"),
    ],
)
async def test_nobody_joins_what_is_too_old_for_him(since: float, role: type) -> None:
    under_test = Flights()
    old = lead(under_test)
    mine = under_test.join(KEY, NOW + 5, 0, since)
    assert isinstance(mine, role)
    assert not isinstance(mine, Alone)
    # Who comes later joins the latest, whatever becomes of the older one.
    under_test.over(old, Uncacheable())
    assert isinstance(mine, Follow) or under_test.under_way(KEY, 0) is mine.flight


async def test_a_flight_lands_once() -> None:
    flight = lead(Flights())
    flight.land(Left())
    flight.land(Uncacheable())
    assert flight.outcome == Left()


async def test_over_lands_and_lets_another_lead() -> None:
    under_test = Flights()
    flight = lead(under_test)
    under_test.over(flight, Failing(503))
    assert flight.outcome == Failing(503)
    assert lead(under_test) is not flight


async def test_nobody_joins_what_began_before_a_removal() -> None:
    # RFC 9111 §4.4: what was asked before the POST answers nobody who asks after it.
    under_test = Flights()
    old = lead(under_test)
    old.land(Uncacheable())
    assert under_test.under_way(KEY, 0) is old
    assert under_test.under_way(KEY, 1) is None
    new = lead(under_test, removals=1)
    under_test.over(old, Uncacheable())
    assert under_test.join(KEY, NOW, 1) == Follow(new, early=True)


@pytest.mark.parametrize(
    ("later", "role"),
    [
        pytest.param(0.0, Alone, id="at once"),
        pytest.param(REMEMBER - 1, Alone, id="for a while"),
        pytest.param(REMEMBER, Lead, id="not for ever"),
    ],
)
async def test_an_uncacheable_key_is_remembered(later: float, role: type) -> None:
    under_test = Flights()
    under_test.uncacheable(KEY, NOW)
    assert isinstance(under_test.join(KEY, NOW + later, 0), role)


@pytest.mark.parametrize(
    ("learned", "asked", "role"),
    [(False, False, Alone), (False, True, Alone), (True, True, Alone), (True, False, Lead)],
)
async def test_what_is_personal_is_remembered_for_those_with_credentials(
    learned: bool, asked: bool, role: type
) -> None:
    under_test = Flights()
    under_test.uncacheable(KEY, NOW, personal=learned)
    assert isinstance(under_test.join(KEY, NOW, 0, personal=asked), role)
    under_test.cacheable(KEY)
    assert not isinstance(under_test.join(KEY, NOW, 0, personal=asked), Alone)


async def test_uncacheable_until_it_was_stored_after_all() -> None:
    under_test = Flights()
    under_test.uncacheable(KEY, NOW)
    under_test.cacheable(KEY)
    under_test.cacheable("http://a.example/never")
    lead(under_test)


async def test_a_flight_under_way_is_joined_even_so() -> None:
    under_test = Flights()
    flight = lead(under_test)
    under_test.uncacheable(KEY, NOW)
    assert under_test.join(KEY, NOW, 0) == Follow(flight, early=True)
