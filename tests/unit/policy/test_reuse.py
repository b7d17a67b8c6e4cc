"""What to do with a request, given what is stored (RFC 9111 §4)."""

from dataclasses import replace

import pytest

from proxy.policy.directives import parse_request_directives
from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.partial import Missing
from proxy.policy.reasons import Reason
from proxy.policy.reuse import (
    Complete,
    Forward,
    Refuse,
    Revalidate,
    Serve,
    ServeAndRevalidate,
    asked_since,
    decide,
    never_stale,
    shared,
)
from proxy.policy.rules import Rule
from proxy.policy.stored import StoredResponse
from proxy.semantics.fields import NO_FIELDS
from proxy.semantics.messages import Request
from proxy.semantics.units import Seconds
from tests.support.build import fields, req
from tests.support.stored import GET, NOW, OPTIONS, URL, at, get, stored

param = pytest.param

DAY = 86400
OFF = Options(rules=(Rule(match="http://a.example/**", cache=False),))
STRICT = Options(freshness=FreshnessOptions(stale_if_error=Seconds(0)))
TAG = 'ETag: "a"'


@pytest.mark.parametrize(
    ("request_", "options", "reason"),
    [
        param(req(f"POST {URL}"), OPTIONS, Reason.METHOD, id="4 POST"),
        param(req(f"OPTIONS {URL}"), OPTIONS, Reason.METHOD, id="4 OPTIONS"),
        param(req(f"BREW {URL}"), OPTIONS, Reason.METHOD, id="4 unknown"),
        param(get("Content-Length: 1"), OPTIONS, Reason.REQUEST_BODY, id="a body"),
        param(get("X-Forwarded-Host: b"), OPTIONS, Reason.REQUEST_REFLECTED, id="reflected"),
        param(get("Cache-Control: no-store"), OPTIONS, Reason.REQUEST_NO_STORE, id="5.2.1.5"),
        param(GET, OFF, Reason.RULE_NO_CACHE, id="a rule"),
        param(get('If-Match: "a"'), OPTIONS, Reason.REQUEST_PRECONDITION, id="4.3.2 If-Match"),
        param(
            get(f"If-Unmodified-Since: {at(-9)}"),
            OPTIONS,
            Reason.REQUEST_PRECONDITION,
            id="4.3.2 If-Unmodified-Since",
        ),
    ],
)
def test_what_passes_the_cache_by(request_: Request, options: Options, reason: Reason) -> None:
    assert decide(request_, (stored("max-age=60"),), NOW, options) == Forward(reason)


def test_nothing_stored_is_a_miss() -> None:
    assert decide(GET, (), NOW, OPTIONS) == Forward(Reason.MISS)


def test_nothing_that_matches_is_a_vary_miss() -> None:
    found = (stored("max-age=60", "Vary: Foo", to=get("Foo: 1")),)
    assert decide(get("Foo: 2"), found, NOW, OPTIONS) == Forward(Reason.VARY_MISS)
    assert decide(GET, found, NOW, OPTIONS) == Forward(Reason.VARY_MISS)


def test_a_vary_miss_asks_whether_another_variant_will_do() -> None:
    found = (stored("max-age=60", "Vary: Foo", 'ETag: "1"', to=get("Foo: 1")),)
    decision = decide(get("Foo: 2"), found, NOW, OPTIONS)
    tags = fields('If-None-Match: "1"')
    assert decision == Revalidate(found[0], tags, Reason.VARY_MISS, on_error_until=0.0)
    # §4.3.1: but a client that has one of its own asks about that.
    own = get("Foo: 2", 'If-None-Match: "2"')
    assert decide(own, found, NOW, OPTIONS) == Forward(Reason.VARY_MISS)


def test_of_several_that_match_the_most_recent_by_date() -> None:
    """§4.1."""
    older = stored("max-age=60", f"Date: {at(-9)}")
    newer = stored("max-age=60", "Vary: Foo", to=get("Foo: 1"), body_id="2")
    other = stored("max-age=60", "Vary: Foo", to=get("Foo: 2"), body_id="3")
    decision = decide(get("Foo: 1"), (other, older, newer), NOW, OPTIONS)
    assert isinstance(decision, Serve)
    assert decision.stored is newer


@pytest.mark.parametrize(
    ("control", "asked", "later", "until"),
    [
        param("max-age=60", [], 59, 60, id="4.2 fresh"),
        param("max-age=60", ["Range: bytes=0-1"], 0, 60, id="14.2 a range of the whole"),
        param("max-age=60", ['If-None-Match: "a"'], 0, 60, id="4.3.2 preconditions are for later"),
        param("max-age=60", ["Cookie: a"], 0, 60, id="a cookie is in no key"),
        param("max-age=60", ["Authorization: a"], 0, 60, id="nor are credentials"),
        param("max-age=60", ["Pragma: x", "Cache-Control: y"], 0, 60, id="5.2 extensions"),
        param("max-age=60", ["Cache-Control: max-age=30"], 30, 30, id="5.2.1.1 young enough"),
        param("max-age=60", ["Cache-Control: max-age=90"], 30, 60, id="5.2.1.1 no longer fresh"),
        param("max-age=60", ["Cache-Control: min-fresh=20"], 39, 40, id="5.2.1.3 fresh enough"),
        param("max-age=60", ["Cache-Control: max-stale=9"], 0, 60, id="5.2.1.2 still fresh"),
        param("max-age=60", ["Cache-Control: only-if-cached"], 0, 60, id="5.2.1.7 cached"),
    ],
)
def test_hits(control: str, asked: list[str], later: float, until: float) -> None:
    held = stored(control)
    decision = decide(get(*asked), (held,), NOW + later, OPTIONS)
    assert decision == Serve(held, Reason.HIT, NOW + until, NOW + 60)


def test_head_is_answered_from_a_get() -> None:
    decision = decide(req(f"HEAD {URL}"), (stored("max-age=60"),), NOW, OPTIONS)
    assert isinstance(decision, Serve)


@pytest.mark.parametrize(
    ("control", "asked", "later", "reason", "until"),
    [
        param("max-age=60", [], 60, Reason.EXPIRED, 60 + DAY, id="4.2.4 when disconnected"),
        param("max-age=60, stale-if-error=9", [], 60, Reason.EXPIRED, 69, id="RFC 5861 4"),
        param("max-age=60, stale-if-error=9", ["Cache-Control: stale-if-error=30"], 60,
              Reason.EXPIRED, 90, id="RFC 5861 4 the longer: request"),
        param("max-age=60, stale-if-error=9", ["Cache-Control: stale-if-error=3"], 60,
              Reason.EXPIRED, 69, id="RFC 5861 4 the longer: response"),
        param("max-age=60", ["Cache-Control: stale-if-error=3"], 60, Reason.EXPIRED, 63,
              id="RFC 5861 4 the request's before the default"),
        param("max-age=60, must-revalidate", [], 60, Reason.EXPIRED, 60, id="5.2.2.2"),
        param("max-age=60, proxy-revalidate", [], 60, Reason.EXPIRED, 60, id="5.2.2.8"),
        param("s-maxage=60", [], 60, Reason.EXPIRED, 60, id="5.2.2.10"),
        param("max-age=60, no-cache", [], 1, Reason.MUST_REVALIDATE, None, id="5.2.2.4"),
        param("max-age=60", ["Cache-Control: no-cache"], 1, Reason.REQUEST_NO_CACHE, None,
              id="5.2.1.4"),
        param("max-age=60", ["Pragma: no-cache"], 1, Reason.REQUEST_NO_CACHE, None, id="5.4"),
        param("max-age=60", ["Cache-Control: max-age=0"], 1, Reason.REQUEST_MAX_AGE, 0,
              id="5.2.1.1 too old, also for an error"),
        param("max-age=60", ["Cache-Control: max-age=9"], 60, Reason.EXPIRED, 9,
              id="5.2.1.1 once stale, too"),
        param("max-age=60", ["Cache-Control: max-age=90"], 60, Reason.EXPIRED, 90,
              id="5.2.1.1 young enough for an error"),
        param("max-age=60", ["Cache-Control: max-age=0, stale-if-error=30"], 1,
              Reason.REQUEST_MAX_AGE, 90, id="RFC 5861 4 the request allows it itself"),
        param("max-age=60, must-revalidate", ["Cache-Control: max-age=0"], 1,
              Reason.REQUEST_MAX_AGE, 0, id="5.2.1.1 too old, though fresh"),
        param("max-age=60", ["Cache-Control: min-fresh=60"], 1, Reason.REQUEST_MIN_FRESH,
              60 + DAY, id="5.2.1.3 not fresh enough"),
        param("max-age=60", ["Cache-Control: max-stale=9"], 69, Reason.EXPIRED, 60 + DAY,
              id="5.2.1.2 too stale"),
        param("max-age=60, must-revalidate", ["Cache-Control: max-stale"], 60, Reason.EXPIRED, 60,
              id="5.2.2.2 whatever max-stale says"),
        param("max-age=60", ["Cache-Control: max-stale, min-fresh=1"], 60, Reason.EXPIRED,
              60 + DAY, id="5.2.1.3 against max-stale"),
        param("max-age=60", ["Cache-Control: max-stale, max-age=30"], 70, Reason.EXPIRED,
              30, id="5.2.1.1 against max-stale"),
        param("max-age=60, stale-while-revalidate=9", ["Cache-Control: max-age=90"], 61,
              Reason.EXPIRED, 90, id="5.2.1.1 no stale unasked"),
    ],
)  # fmt: skip
def test_validations(
    control: str, asked: list[str], later: float, reason: Reason, until: float | None
) -> None:
    held = stored(control, TAG)
    decision = decide(get(*asked), (held,), NOW + later, OPTIONS)
    on_error_until = 0.0 if until is None else NOW + until
    assert decision == Revalidate(held, fields('If-None-Match: "a"'), reason, on_error_until)


@pytest.mark.parametrize("status", [404, 410, 500, 503])
@pytest.mark.parametrize("asked", [[], ["Cache-Control: stale-if-error=30"]])
def test_a_stored_error_does_not_stand_in_for_a_newer_one(status: int, asked: list[str]) -> None:
    held = stored("max-age=60, stale-if-error=9", TAG, status=status)
    decision = decide(get(*asked), (held,), NOW + 61, OPTIONS)
    assert decision == Revalidate(held, fields('If-None-Match: "a"'), Reason.EXPIRED, 0.0)
    bare = stored("max-age=60, stale-if-error=9", status=status)
    assert decide(get(*asked), (bare,), NOW + 61, OPTIONS) == Forward(Reason.EXPIRED)


@pytest.mark.parametrize(
    ("control", "asked", "status", "never"),
    [
        param("max-age=60, must-revalidate", [], 200, True, id="5.2.2.2"),
        param("max-age=60, proxy-revalidate", [], 200, True, id="5.2.2.8"),
        param("s-maxage=60", [], 200, True, id="5.2.2.10"),
        param("no-cache", [], 200, True, id="5.2.2.4"),
        param("max-age=60, stale-if-error=0", [], 200, False, id="an error that may be shown"),
        param("max-age=60, must-revalidate", ["Cache-Control: no-store"], 200, False,
              id="it passes the cache by"),
        param("max-age=60, must-revalidate", ["Foo: 2"], 200, False, id="another variant"),
    ],
)  # fmt: skip
def test_what_an_origin_out_of_reach_makes_a_504(
    control: str, asked: list[str], status: int, never: bool
) -> None:
    held = stored(control, TAG, "Vary: Foo", status=status)
    assert never_stale(get(*asked), (held,), OPTIONS) is never
    assert not never_stale(get(*asked), (), OPTIONS)


def test_what_is_invalid_is_validated_though_fresh() -> None:
    """§4.4."""
    held = replace(stored("max-age=60", TAG), invalid=True)
    decision = decide(GET, (held,), NOW, OPTIONS)
    assert decision == Revalidate(held, fields('If-None-Match: "a"'), Reason.INVALIDATED, 0.0)


def test_without_a_validator_the_stale_response_is_kept_for_errors() -> None:
    held = stored("max-age=60")
    decision = decide(GET, (held,), NOW + 60, OPTIONS)
    assert decision == Revalidate(held, NO_FIELDS, Reason.EXPIRED, NOW + 60 + DAY)


@pytest.mark.parametrize(
    ("directives", "asked", "until"),
    [
        param("max-age=60, stale-if-error=99", [], 60, id="RFC 5861 4 the origin's word"),
        param("max-age=60", ["Cache-Control: stale-if-error=99"], 60, id="RFC 5861 4 the client's"),
        param("max-age=60", ["Cache-Control: min-fresh=61"], 0, id="while it is fresh"),
        param("max-age=60, stale-while-revalidate=99", [], 60, id="RFC 5861 3 behind"),
    ],
)
def test_an_error_does_not_stand_in_for_a_newer_one(
    directives: str, asked: list[str], until: float
) -> None:
    held = stored(directives, TAG, status=503)
    decision = decide(get(*asked), (held,), NOW + until, OPTIONS)
    assert isinstance(decision, Revalidate | ServeAndRevalidate)
    assert decision.on_error_until == 0.0


@pytest.mark.parametrize(
    ("asked", "since"),
    [
        param("X: y", 0.0, id="any that is on its way"),
        param("Cache-Control: no-cache", float("inf"), id="5.2.1.4 none"),
        param("Pragma: no-cache", float("inf"), id="5.4 none"),
        param("Cache-Control: max-age=0", NOW, id="5.2.1.1 none that is older"),
        param("Cache-Control: max-age=9", NOW - 9, id="5.2.1.1 none that is too old"),
        param("Cache-Control: no-cache, max-age=9", float("inf"), id="5.2.1.4 and 5.2.1.1"),
    ],
)
def test_asked_since(asked: str, since: float) -> None:
    assert asked_since(parse_request_directives(fields(asked)), NOW) == since


@pytest.mark.parametrize(
    ("held", "options"),
    [
        param(stored("max-age=60"), STRICT, id="not allowed"),
        param(stored("max-age=60, must-revalidate"), OPTIONS, id="forbidden"),
        param(stored("max-age=60, stale-if-error=1"), OPTIONS, id="too late"),
    ],
)
def test_without_a_validator_and_no_use_after_an_error_it_is_a_miss(
    held: object, options: Options
) -> None:
    decision = decide(GET, (held,), NOW + 62, options)  # type: ignore[arg-type]
    assert decision == Forward(Reason.EXPIRED)


@pytest.mark.parametrize(
    ("control", "asked", "later", "until"),
    [
        param("max-age=60", "max-stale=9", 68, 69, id="5.2.1.2"),
        param("max-age=60", "max-stale", 9999, 60 + 2**31, id="5.2.1.2 any staleness"),
        param("max-age=60", "max-stale=9, max-age=65", 61, 65, id="5.2.1.1 with max-stale"),
    ],
)
def test_stale_allowed_by_the_request(control: str, asked: str, later: float, until: float) -> None:
    held = stored(control)
    decision = decide(get(f"Cache-Control: {asked}"), (held,), NOW + later, OPTIONS)
    assert decision == Serve(held, Reason.STALE_ALLOWED, NOW + until, NOW + 60)


@pytest.mark.parametrize(
    ("asked", "later", "until"),
    [
        param([], 68, 69, id="RFC 5861 3"),
        param(["Cache-Control: only-if-cached"], 68, 69, id="5.2.1.7 is cached"),
        param(["Cache-Control: max-stale, max-age=65"], 61, 65, id="5.2.1.1 young enough"),
    ],
)
def test_stale_while_revalidate(asked: list[str], later: float, until: float) -> None:
    held = stored("max-age=60, stale-while-revalidate=9", TAG)
    decision = decide(get(*asked), (held,), NOW + later, OPTIONS)
    tags = fields('If-None-Match: "a"')
    assert decision == ServeAndRevalidate(held, tags, NOW + until, NOW + 60, NOW + 60 + DAY)


def test_after_the_window_it_is_validated() -> None:
    held = stored("max-age=60, stale-while-revalidate=9", TAG)
    assert isinstance(decide(GET, (held,), NOW + 69, OPTIONS), Revalidate)


@pytest.mark.parametrize(
    "found",
    [
        param((), id="nothing"),
        param((stored("max-age=1", TAG, f"Date: {at(-9)}"),), id="only stale"),
        param((stored("max-age=60", "Vary: Foo", to=get("Foo: 1")),), id="only another"),
    ],
)
def test_only_if_cached(found: tuple[object, ...]) -> None:
    """§5.2.1.7."""
    request = get("Cache-Control: only-if-cached")
    decision = decide(request, found, NOW, OPTIONS)  # type: ignore[arg-type]
    assert decision == Refuse(504, Reason.ONLY_IF_CACHED)


def test_a_rule_gives_freshness() -> None:
    rule = Rule(match="http://a.example/**", freshness=Seconds(99))
    held = stored("")
    decision = decide(GET, (held,), NOW + 98, Options(rules=(rule,)))
    assert decision == Serve(held, Reason.HIT, NOW + 99, NOW + 99)


def test_a_clock_set_back_a_little_neither_fails_nor_ages() -> None:
    assert isinstance(decide(GET, (stored("max-age=60"),), NOW - 5, OPTIONS), Serve)


@pytest.mark.parametrize("asked", [[], ["Cache-Control: max-stale"]])
@pytest.mark.parametrize("back", [5.5, 3600, 10 * 365 * DAY])
def test_what_came_while_the_clock_was_ahead_is_stale(asked: list[str], back: float) -> None:
    """§4.2.3: nobody knows its age."""
    held = stored("max-age=60, stale-while-revalidate=9, stale-if-error=9", TAG)
    decision = decide(get(*asked), (held,), NOW - back, OPTIONS)
    assert decision == Revalidate(held, fields('If-None-Match: "a"'), Reason.EXPIRED, 0.0)


PART = stored("max-age=60", TAG, "Content-Range: bytes 0-4/10", status=206)


@pytest.mark.parametrize(
    "asked",
    [
        param("bytes=1-2", id="within"),
        param("bytes=0-0,2-3", id="several within"),
        param("bytes=99-", id="beyond the end: 416"),
    ],
)
def test_a_part_answers_what_it_holds(asked: str) -> None:
    decision = decide(get(f"Range: {asked}"), (PART,), NOW, OPTIONS)
    assert decision == Serve(PART, Reason.HIT, NOW + 60, NOW + 60)


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        param([], (5, 9, "bytes=5-"), id="the whole"),
        param(["Range: bytes=3-6"], (5, 6, "bytes=5-6"), id="a range that overlaps"),
        param(["Range: bytes=-5"], (5, 9, "bytes=5-"), id="a range that follows"),
    ],
)
def test_a_part_is_completed(asked: list[str], missing: tuple[int, int, str]) -> None:
    first, last, wanted = missing
    decision = decide(get(*asked), (PART,), NOW + 99, OPTIONS)
    range_fields = fields(f"Range: {wanted}", 'If-Range: "a"')
    assert decision == Complete(PART, Missing(first, last, range_fields))


def test_a_part_that_cannot_grow_to_it_is_a_miss() -> None:
    decision = decide(get("Range: bytes=7-8"), (PART,), NOW, OPTIONS)
    assert decision == Forward(Reason.PARTIAL_MISS)


def test_a_stale_part_is_validated_before_it_answers() -> None:
    decision = decide(get("Range: bytes=0-1"), (PART,), NOW + 60, OPTIONS)
    assert isinstance(decision, Revalidate)
    assert decision.conditional == fields('If-None-Match: "a"')


NO_CACHE = stored("no-cache", TAG)
AGED = stored("max-age=60", "Age: 100", TAG)


@pytest.mark.parametrize(
    ("offered", "asked", "early", "late"),
    [
        param(stored("max-age=60"), [], True, True, id="4 fresh"),
        param(AGED, [], True, False, id="4.2.4 who waited for it gets it stale as it came"),
        param(NO_CACHE, [], False, False, id="5.2.2.4 no-cache"),
        param(stored("max-age=60"), ["Cache-Control: min-fresh=61"], True, False, id="5.2.1.3"),
        param(PART, ["Range: bytes=1-2"], True, True, id="3.3 a part of the part"),
        param(PART, [], False, False, id="3.3 more than the part"),
        param(stored("max-age=60", "Vary: Foo", to=get("Foo: 1")), [], False, False, id="4.1"),
    ],
)
def test_shared(offered: StoredResponse, asked: list[str], early: bool, late: bool) -> None:
    for is_early, may in ((True, early), (False, late)):
        got = shared(get(*asked), (offered,), NOW, OPTIONS, early=is_early)
        assert got is (offered if may else None)
