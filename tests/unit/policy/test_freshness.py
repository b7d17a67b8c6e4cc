"""Freshness lifetime, age, and the stale windows (RFC 9111 §4.2, RFC 5861)."""

from dataclasses import replace

import pytest

from proxy.policy import freshness
from proxy.policy.directives import MAX_DELTA
from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.rules import Rule
from proxy.semantics.units import Seconds
from tests.support.stored import NOW, OPTIONS, at, get, stored

param = pytest.param

DAY = 86400
CDN = Options(freshness=FreshnessOptions(targeted=("CDN-Cache-Control",)))
MONTH = Rule(match="http://*/**", freshness=Seconds(30 * DAY))
FORCED = Rule(match="http://*/**", freshness=Seconds(30 * DAY), override=True)


@pytest.mark.parametrize(
    ("control", "lines", "seconds"),
    [
        param("max-age=60", [], 60, id="4.2.1 max-age"),
        param("max-age=60, s-maxage=10", [], 10, id="4.2.1 s-maxage wins when shared"),
        param("max-age=0, s-maxage=60", [f"Expires: {at(-10)}"], 60, id="4.2.1 s-maxage, longer"),
        param("max-age=60", [f"Expires: {at(-7200)}"], 60, id="4.2.1 max-age before Expires"),
        param("max-age=0", [f"Expires: {at(3600)}"], 0, id="4.2.1 max-age=0 before Expires"),
        param("max-age=99999999999", [], MAX_DELTA, id="1.2.2 overflow"),
        param("", [f"Expires: {at(300)}"], 300, id="4.2.1 Expires less Date"),
        param("", [f"Expires: {at(300)}", f"Date: {at(-20)}"], 320, id="4.2.1 by the Date given"),
        param("", [f"Expires: {at(300)}", f"Date: {at(400)}"], 0, id="4.2.1 Expires before Date"),
        param("", [f"Expires: {at(10)}", "Date: foo"], 10, id="6.6.1 invalid Date: of receipt"),
        param("", ["Expires: 0"], 0, id="5.3 invalid Expires is past"),
        param("", ["Expires: Thu, 18 Aug 2050 02:01:18 UTC"], 0, id="5.3 another zone is invalid"),
        param("", [f"Expires: {at(9)}", f"Expires: {at(9)}"], 0, id="5.3 several are invalid"),
        param("", ["Expires: 0", f"Last-Modified: {at(-DAY)}"], 0, id="4.2.2 not if explicit"),
        param("", [f"Last-Modified: {at(-DAY)}"], 8640, id="4.2.2 a tenth"),
        param("", [f"Last-Modified: {at(-1000 * DAY)}"], DAY, id="4.2.2 at most a day"),
        param("", [f"Last-Modified: {at(10)}"], 0, id="4.2.2 modified later than made"),
        param("", ["Last-Modified: yesterday"], 0, id="4.2.2 no date"),
        param("", ['ETag: "a"'], 0, id="4.2.2 never without Last-Modified"),
        param("no-cache", [f"Last-Modified: {at(-DAY)}"], 8640, id="no-cache is no lifetime"),
    ],
)
def test_lifetime(control: str, lines: list[str], seconds: float) -> None:
    assert freshness.lifetime(stored(control, *lines), OPTIONS) == seconds


@pytest.mark.parametrize(
    ("status", "control", "seconds"),
    [(status, "", 8640) for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)]
    + [(status, "", 0) for status in (201, 202, 302, 303, 307, 403, 500, 502, 503, 504, 599)]
    + [(599, "public", 8640)],
)
def test_heuristics_are_for_listed_statuses_or_public(
    status: int, control: str, seconds: float
) -> None:
    held = stored(control, f"Last-Modified: {at(-DAY)}", status=status)
    assert freshness.lifetime(held, OPTIONS) == seconds


@pytest.mark.parametrize("line", ["Cookie: a=b", "Authorization: Basic x"])
def test_no_heuristics_for_what_credentials_shaped(line: str) -> None:
    lines = ("public", f"Last-Modified: {at(-DAY)}")
    assert freshness.lifetime(stored(*lines, to=get(line)), OPTIONS) == 0


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        param(["max-age=1", "CDN-Cache-Control: max-age=60"], 60, id="RFC 9213 2.2 wins, longer"),
        param(["max-age=60", "CDN-Cache-Control: max-age=1"], 1, id="RFC 9213 2.2 wins, shorter"),
        param(["", "CDN-Cache-Control: x", f"Expires: {at(60)}"], 0, id="2.2 no Expires then"),
        param(["", "CDN-Cache-Control: ?", f"Expires: {at(60)}"], 60, id="2.2 invalid: ignored"),
    ],
)
def test_targeted_lifetime(lines: list[str], seconds: float) -> None:
    assert freshness.lifetime(stored(*lines, options=CDN), CDN) == seconds


@pytest.mark.parametrize(
    ("rule", "lines", "status", "seconds"),
    [
        param(MONTH, [""], 200, 30 * DAY, id="silent origin"),
        param(MONTH, ["", f"Last-Modified: {at(-DAY)}"], 301, 30 * DAY, id="before heuristics"),
        param(MONTH, ["max-age=60"], 200, 60, id="the origin's word first"),
        param(MONTH, [""], 404, 0, id="never for an error"),
        param(FORCED, ["max-age=60, s-maxage=1"], 200, 30 * DAY, id="override"),
        param(FORCED, ["max-age=60"], 404, 60, id="override leaves errors alone"),
    ],
)
def test_ruled_lifetime(rule: Rule, lines: list[str], status: int, seconds: float) -> None:
    assert freshness.lifetime(stored(*lines, status=status), OPTIONS, rule) == seconds


def test_override_also_lifts_the_duty_to_validate() -> None:
    held = stored("no-cache, must-revalidate")
    terms = freshness.terms(held, OPTIONS, MONTH)
    assert (terms.validate, terms.stale_forbidden) == (True, True)
    forced = freshness.terms(held, OPTIONS, FORCED)
    assert (forced.validate, forced.stale_forbidden) == (False, False)


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        param([], 0, id="4.2.3 no Age"),
        param(["Age: 30"], 30, id="4.2.3 Age"),
        param([f"Date: {at(-40)}", "Age: 30"], 40, id="4.2.3 apparent age is more"),
        param([f"Date: {at(40)}"], 0, id="4.2.3 a Date ahead is no negative age"),
        param(["Date: foo"], 0, id="6.6.1 invalid Date: of receipt"),
        param(["Age: 30, 0"], 30, id="5.1 the first member"),
        param(["Age: 0", "Age: 30"], 0, id="5.1 the first line"),
        param(["Age: ,"], 0, id="5.1 no member"),
        param(["Age: 30.0"], 0, id="5.1 a fraction is ignored"),
        param(["Age: -30"], 0, id="5.1 negative is ignored"),
        param(["Age: 30;x=1"], 0, id="5.1 with a parameter is ignored"),
        param(["Age: 2147483649"], MAX_DELTA, id="1.2.2 overflow"),
    ],
)
def test_age_on_arrival(lines: list[str], age: float) -> None:
    held = stored("max-age=60", *lines)
    assert freshness.current_age(held, NOW) == age
    assert freshness.fresh_until(held, OPTIONS) == NOW + 60 - age


def test_the_response_delay_counts() -> None:
    held = replace(stored("max-age=60", "Age: 5"), request_time=NOW - 3)
    assert freshness.current_age(held, NOW) == 8


def test_age_grows_and_a_clock_set_back_does_not_make_it_less() -> None:
    held = stored("max-age=60", "Age: 5")
    assert freshness.current_age(held, NOW + 10) == 15
    freshness.terms(held, OPTIONS, None)
    assert freshness.current_age(held, NOW + 10) == 15
    assert freshness.current_age(held, NOW - 1000) == 5


@pytest.mark.parametrize(
    "control",
    ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"],
)
def test_what_forbids_stale(control: str) -> None:
    """§4.2.4: whatever the windows say."""
    held = stored(f"{control}, max-age=60, stale-while-revalidate=9, stale-if-error=9")
    terms = freshness.terms(held, OPTIONS, None)
    assert terms.stale_forbidden
    assert terms.while_revalidating_until == terms.fresh_until


@pytest.mark.parametrize(
    ("control", "status", "lines", "rule", "window"),
    [
        param("max-age=1", 200, [], None, DAY, id="the general default"),
        param("max-age=1", 200, [], Rule(match="http://*/**", stale_if_error=Seconds(7)), 7,
              id="the rule's default"),
        param("max-age=1", 200, [], MONTH, DAY, id="a rule without one"),
        param("max-age=1, stale-if-error=5", 200, [], MONTH, 5, id="RFC 5861 4"),
        param("max-age=1", 404, [], None, 0, id="no default for an error"),
        param("max-age=1", 200, ["Cookie: a"], None, 0, id="no default for credentials"),
        param("max-age=1, stale-if-error=5", 200, ["Cookie: a"], None, 5, id="the origin's word"),
        param("max-age=1, stale-if-error=5", 404, [], None, 0, id="no error for a newer one"),
        param("max-age=1, stale-if-error=5", 503, [], None, 0, id="no 5xx either"),
    ],
)  # fmt: skip
def test_stale_if_error(
    control: str, status: int, lines: list[str], rule: Rule | None, window: float
) -> None:
    held = stored(control, status=status, to=get(*lines))
    assert freshness.terms(held, OPTIONS, rule).stale_if_error == window


@pytest.mark.parametrize(
    ("control", "lines", "default", "window"),
    [
        param("max-age=1", [], 0, 0, id="none by default"),
        param("max-age=1", [], 30, 30, id="the default"),
        param("max-age=1", ["Cookie: a"], 30, 0, id="no default for credentials"),
        param("max-age=1, stale-while-revalidate=5", ["Cookie: a"], 30, 5, id="RFC 5861 3"),
    ],
)
def test_stale_while_revalidate(
    control: str, lines: list[str], default: float, window: float
) -> None:
    options = Options(freshness=FreshnessOptions(stale_while_revalidate=Seconds(default)))
    terms = freshness.terms(stored(control, to=get(*lines)), options, None)
    assert terms.while_revalidating_until == terms.fresh_until + window


def test_terms_are_remembered_for_these_options_and_this_rule() -> None:
    held = stored("")
    first = freshness.terms(held, OPTIONS, MONTH)
    assert freshness.terms(held, OPTIONS, MONTH) is first
    assert freshness.lifetime(held, OPTIONS) == 0
    assert freshness.lifetime(held, Options(), MONTH) == 30 * DAY
