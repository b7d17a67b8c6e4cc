"""What was learned a short while ago."""

import pytest

from proxy.exchange import lately
from proxy.exchange.lately import Lately

NOW = 1_700_000_000.0


def test_it_holds_for_a_while() -> None:
    under_test = Lately(30.0)
    assert not under_test.holds("a", NOW)
    under_test.note("a", NOW)
    assert under_test.holds("a", NOW + 29)
    assert not under_test.holds("a", NOW + 30)
    assert not under_test.holds("b", NOW)


def test_it_does_not_hold_before_it_was_noted() -> None:
    """The clock was set back: for all that it says it could hold for years."""
    under_test = Lately(30.0)
    under_test.note("a", NOW)
    assert not under_test.holds("a", NOW - 3600)


def test_it_can_be_forgotten() -> None:
    under_test = Lately(30.0)
    under_test.note("a", NOW)
    under_test.forget("a")
    under_test.forget("never noted")
    assert not under_test.holds("a", NOW)


def test_of_too_many_the_latest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "KEYS", 2)
    under_test = Lately(30.0)
    for key in ("a", "b", "a", "c"):
        under_test.note(key, NOW)
    assert [key for key in "abc" if under_test.holds(key, NOW)] == ["a", "c"]
