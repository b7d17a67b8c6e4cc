"""A stored response is a value."""

from dataclasses import replace

import pytest

from proxy.policy.freshness import terms
from tests.support.stored import NOW, OPTIONS, stored


def test_what_was_worked_out_is_no_part_of_the_value() -> None:
    weighed, other = stored("max-age=60"), stored("max-age=60")
    terms(weighed, OPTIONS, None)
    assert weighed == other
    assert repr(weighed) == repr(other)


def test_a_change_is_a_new_value_and_is_weighed_anew() -> None:
    before = stored("max-age=60")
    assert terms(before, OPTIONS, None).fresh_until == NOW + 60
    after = replace(before, response_time=NOW + 100, request_time=NOW + 100)
    assert terms(after, OPTIONS, None).fresh_until == NOW + 60  # Date is older now: age 100
    assert before != after


def test_it_is_immutable() -> None:
    with pytest.raises(AttributeError):
        stored("max-age=60").invalid = True  # type: ignore[misc]
