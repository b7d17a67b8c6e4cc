"""Policy's findings in sentences: each clause that decides, in its place and with its figures."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import reuse
from proxy.policy.clauses import LONGEST, at, cut
from proxy.policy.explain import (
    Clause,
    Explanation,
    Term,
    Verdict,
    arithmetic,
    explain,
)
from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from proxy.policy.stored import StoredResponse
from proxy.semantics.messages import Request
from proxy.semantics.units import Octets, Seconds
from tests.support.build import req
from tests.support.stored import GET, NOW, OPTIONS, URL, get, stored
from tests.support.stored import at as date

param = pytest.param

TAG = 'ETag: "a"'
FRESH = (stored("max-age=60", TAG),)
ELSEWHERE = Rule(match="http://b.example/**")
OFF = Options(rules=(ELSEWHERE, Rule(match="http://a.example/**", cache=False)))
STRICT = Options(freshness=FreshnessOptions(stale_if_error=Seconds(0)))
LENIENT = Options(freshness=FreshnessOptions(stale_while_revalidate=Seconds(30)))
PART = stored(
    "max-age=60", TAG, "Content-Range: bytes 0-9/100", status=206, to=get("Range: bytes=0-9")
)


def clauses(explanation: Explanation) -> tuple[Clause, ...]:
    return (*explanation.clauses, *explanation.onward)


def named(explanation: Explanation, name: str) -> Clause:
    """The one clause of that name."""
    (clause,) = [clause for clause in clauses(explanation) if clause.name == name]
    return clause


def names(explanation: Explanation) -> list[str]:
    return [clause.name for clause in clauses(explanation)]


@pytest.mark.parametrize(
    ("request_", "options", "reason", "name", "text"),
    [
        param(
            req(f"POST {URL}"), OPTIONS, Reason.METHOD, "method",
            "POST is for the origin: only GET and HEAD are answered from the cache.", id="4 method",
        ),
        param(
            get("Content-Length: 1"), OPTIONS, Reason.REQUEST_BODY, "body",
            "The request has a body, and its answer may depend on it.", id="a body",
        ),
        param(
            get("X-Host: b", "Forwarded: c"), OPTIONS, Reason.REQUEST_REFLECTED, "reflected-field",
            "The request has what origins reflect without naming it in Vary: forwarded, x-host.",
            id="reflected",
        ),
        param(
            GET, OFF, Reason.RULE_NO_CACHE, "rule",
            "The first rule for this URI has match = http://a.example/**, and says cache = false.",
            id="a rule",
        ),
        param(
            get("Cache-Control: no-store, max-stale=5"), OPTIONS, Reason.REQUEST_NO_STORE,
            "request-directives", "The request says no-store, max-stale=5.", id="5.2.1.5 no-store",
        ),
        param(
            get('If-Match: "a"'), OPTIONS, Reason.REQUEST_PRECONDITION, "precondition",
            "The request has If-Match or If-Unmodified-Since, which are for the origin to judge.",
            id="4.3.2 preconditions",
        ),
    ],
)  # fmt: skip
def test_what_passes_the_cache_by_ends_there(
    request_: Request, options: Options, reason: Reason, name: str, text: str
) -> None:
    explanation = explain(request_, FRESH, NOW, options)
    assert explanation.decision == reuse.Forward(reason)
    assert explanation.reason is reason
    *before, decided = explanation.clauses
    assert (decided.name, decided.verdict, decided.text) == (name, Verdict.NO, text)
    assert Verdict.NO not in {clause.verdict for clause in before}
    asked, failure = explanation.onward[:2]
    assert asked.text == "The origin is asked what the client asks."
    assert failure.text == "If that fails, the client gets the error: nothing stored may stand in."


def test_the_clauses_of_a_hit_in_their_order() -> None:
    explanation = explain(GET, FRESH, NOW + 10, OPTIONS)
    assert explanation.decision == reuse.decide(GET, FRESH, NOW + 10, OPTIONS)
    assert explanation.reason is Reason.HIT
    assert [(c.name, c.verdict.value) for c in clauses(explanation)] == [
        ("method", "yes"),
        ("body", "yes"),
        ("reflected-field", "yes"),
        ("rule", "info"),
        ("request-directives", "info"),
        ("key", "info"),
        ("variant", "yes"),
        ("validators", "info"),
        ("lifetime", "info"),
        ("age", "info"),
        ("fresh", "yes"),
        ("stale-windows", "info"),
        ("hit", "yes"),
        ("asked", "info"),
    ]


def test_a_clock_that_was_ahead() -> None:
    explanation = explain(GET, FRESH, NOW - 60, OPTIONS)
    assert explanation.reason is Reason.EXPIRED
    assert named(explanation, "fresh").verdict is Verdict.NO
    assert "the clock was ahead" in named(explanation, "fresh").text
    assert "gets the error" in named(explanation, "failure").text


RULE = Rule(
    regex="a[.]example",
    where="c.toml:7",
    freshness=Seconds(90.5),
    override=True,
    ignore_query=("utm_*", "x"),
    max_object_size=Octets(100),
)
RULED = Options(rules=(Rule(match="http://a.example/**", freshness=Seconds(90)),))
LATE = (replace(stored("max-age=60", "Age: 7", f"Date: {date(-2)}"), request_time=NOW - 1.5),)
GUESSED = f"Last-Modified: {date(-100)}"
DONE = "If the origin does it (2xx or 3xx), "
MORE = (
    "Location, Content-Location and Cache-Group-Invalidation of its answer may name more of this"
    " origin."
)


def under(*rules: Rule) -> Options:
    return Options(rules=rules)


def kept(*lines: str, to: Request = GET, options: Options = OPTIONS) -> tuple[StoredResponse, ...]:
    return (stored(*lines, to=to, options=options),)


@pytest.mark.parametrize(
    ("request_", "found", "options", "name", "section", "text"),
    [
        param(GET, (), OPTIONS, "rule", "", "No rule is for this URI.", id="no rule"),
        param(
            GET, (), under(ELSEWHERE, ELSEWHERE), "rule", "",
            "None of the 2 rules is for this URI.", id="a rule: none of two",
        ),
        param(
            GET, (), under(ELSEWHERE, RULE, Rule(match="http://*/**")), "rule",
            "[[rules]] 2, c.toml:7",
            "The first rule for this URI has regex = a[.]example, and says freshness = 90.5 s,"
            " override = true, ignore_query = utm_* x, max_object_size = 100.",
            id="a rule: the second of three, by its line",
        ),
        param(
            GET, (), under(Rule(match="http://*/**")), "rule", "[[rules]] 1",
            "The first rule for this URI has match = http://*/**, and says nothing more.",
            id="a rule that says nothing, from nowhere",
        ),
        param(
            GET, (), OPTIONS, "request-directives", "RFC 9111 §5.2.1",
            "The request has no cache directives.", id="5.2.1 none",
        ),
        param(GET, (), OPTIONS, "key", "RFC 9111 §2", f"The key is {URL}.", id="2 the key"),
        param(
            get(url=f"{URL}?utm_a=1&b=2&x"), (), under(RULE), "key", "RFC 9111 §2",
            f"The key is {URL}?b=2. ignore_query leaves out utm_a=1, x.",
            id="2 what the key leaves out",
        ),
        param(
            GET, (), OPTIONS, "stored", "RFC 9111 §4", "Nothing is stored under this key.",
            id="4 nothing is stored",
        ),
        param(
            GET, FRESH, OPTIONS, "variant", "RFC 9111 §4.1",
            "Variant 1 of 1 (status 200, 10 octets, of Sun, 06 Nov 1994 08:49:37 GMT) is for every"
            " request.", id="4.1 one for all",
        ),
        param(
            GET, kept("max-age=60"), OPTIONS, "validators", "RFC 9111 §4.3.1",
            "It has no validator.", id="4.3.1 none",
        ),
        param(
            GET, FRESH, OPTIONS, "validators", "RFC 9111 §4.3.1",
            'It can be validated by the strong ETag "a".', id="4.3.1 strong",
        ),
        param(
            GET, kept("max-age=60", 'ETag: W/"a"'), OPTIONS, "validators", "RFC 9111 §4.3.1",
            'It can be validated by the weak ETag W/"a".', id="4.3.1 weak",
        ),
        param(
            GET, kept("max-age=60", "Last-Modified: soon"), OPTIONS, "validators",
            "RFC 9111 §4.3.1", "It has no validator.", id="4.3.1 no date",
        ),
        param(
            GET, kept("max-age=60", TAG, GUESSED), OPTIONS, "validators", "RFC 9111 §4.3.1",
            f'It can be validated by the strong ETag "a" and Last-Modified {date(-100)}.',
            id="4.3.1 both",
        ),
        param(
            GET, kept("s-maxage=5, max-age=60"), OPTIONS, "lifetime", "RFC 9111 §4.2.1",
            "Its lifetime is 5 s: s-maxage, which wins in a shared cache.", id="4.2.1 s-maxage",
        ),
        param(
            GET, kept("max-age=60", f"Expires: {date(5)}"), OPTIONS, "lifetime", "RFC 9111 §4.2.1",
            "Its lifetime is 60 s: max-age.", id="4.2.1 max-age",
        ),
        param(
            GET, kept("", f"Expires: {date(5)}"), OPTIONS, "lifetime", "RFC 9111 §4.2.1",
            f"Its lifetime is 5 s: Expires ({date(5)}) less Date.", id="4.2.1 Expires",
        ),
        param(
            GET, kept("", options=RULED), RULED, "lifetime", "[[rules]] 1",
            "Its lifetime is 90 s: the rule's freshness.", id="4.2.1 a rule's",
        ),
        param(
            GET, kept("", GUESSED), OPTIONS, "lifetime", "RFC 9111 §4.2.2",
            "Its lifetime is 10 s: 0.1 of the time from Last-Modified to Date, at most 86400 s.",
            id="4.2.2 heuristic",
        ),
        param(
            GET, kept(""), OPTIONS, "lifetime", "RFC 9111 §4.2.2",
            "Its lifetime is 0 s: nobody said one, and there is nothing to guess it by.",
            id="4.2.2 nothing to go by",
        ),
        param(
            get("Cookie: a=b"), kept("", GUESSED, to=get("Cookie: a=b")), OPTIONS, "lifetime",
            "RFC 9111 §4.2.2",
            "Its lifetime is 0 s: nobody said one, and for what was one client's none is guessed.",
            id="4.2.2 personal",
        ),
        param(
            GET, LATE, OPTIONS, "age", "RFC 9111 §4.2.3",
            f"Its age is 18.5 s: it came at {date(0)}, 1.5 s after it was asked for, with"
            f" Date {date(-2)} and Age 7.", id="4.2.3 the age and its terms",
        ),
        param(
            GET, LATE, OPTIONS, "fresh", "RFC 9111 §4.2",
            f"It is fresh for 41.5 s more, until {date(51.5)}.", id="4.2 fresh",
        ),
        param(
            GET, kept("max-age=60, stale-while-revalidate=5, stale-if-error=7"), OPTIONS,
            "stale-windows", "RFC 5861",
            "Once stale it may be used for 5 s while it is validated, and for 7 s if the origin"
            " fails.", id="5861 the windows",
        ),
        param(
            GET, kept("max-age=60, must-revalidate"), OPTIONS, "stale-windows", "RFC 9111 §4.2.4",
            "Once stale it is never used without validation: the origin forbids it.",
            id="4.2.4 no windows",
        ),
        param(
            GET, FRESH, OPTIONS, "asked", "RFC 9111 §4", "The origin is asked nothing.",
            id="4 asked nothing",
        ),
        param(
            req(f"POST {URL}"), (), OPTIONS, "invalidation", "RFC 9111 §4.4",
            f"{DONE}nothing is removed, as nothing is stored under this key. {MORE}",
            id="4.4 nothing",
        ),
        param(
            req(f"DELETE {URL}"), FRESH, OPTIONS, "invalidation", "RFC 9111 §4.4",
            f"{DONE}the response that is stored under this key is removed. {MORE}", id="4.4 one",
        ),
        param(
            req(f"NEW {URL}"), FRESH * 2, OPTIONS, "invalidation", "RFC 9111 §4.4",
            f"{DONE}the 2 responses that are stored under this key are removed. {MORE}",
            id="4.4 all variants",
        ),
        param(
            req(f"MOVE {URL}", "Destination: /y"), (), OPTIONS, "invalidation", "RFC 9111 §4.4",
            f"{DONE}nothing is removed, as nothing is stored under this key. {MORE} What is stored"
            " for http://a.example/y is removed, too.",
            id="4.4 a destination",
        ),
        param(
            req(f"OPTIONS {URL}"), FRESH, OPTIONS, "invalidation", "RFC 9111 §4.4",
            "OPTIONS is safe: what is stored stays as it is.", id="4.4 a safe method",
        ),
    ],
)  # fmt: skip
def test_a_clause_in_its_words(
    request_: Request,
    found: Sequence[StoredResponse],
    options: Options,
    name: str,
    section: str,
    text: str,
) -> None:
    clause = named(explain(request_, found, NOW + 10, options), name)
    assert (clause.section, clause.text) == (section, text)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_reads_says_nothing_of_invalidation(method: str) -> None:
    assert "invalidation" not in names(explain(req(f"{method} {URL}"), FRESH, NOW, OPTIONS))


def test_each_variant_says_why_not() -> None:
    """§4.1."""
    english = stored("max-age=60", "Vary: X-A, X-B", TAG, to=get("X-A: 1"), body_id="1")
    older = stored("max-age=60", f"Date: {date(-9)}", body_id="2")
    newer = stored("max-age=60", "Vary: X-A", to=get("X-A: 2"), body_id="3")
    explanation = explain(get("X-A: 2", "X-B: 3"), (english, older, newer), NOW, OPTIONS)
    said = [
        (c.verdict.value, c.text.partition("GMT) ")[2])
        for c in explanation.clauses
        if c.name == "variant"
    ]
    assert said == [
        ("no", 'is for other requests: x-a was "1" and is "2", x-b was absent and is "3".'),
        ("no", "matches, too, but its Date is not the latest."),
        ("yes", 'is for this request: x-a is "2".'),
    ]


def test_a_request_for_another_variant_asks_with_the_tags_of_those_that_are_there() -> None:
    found = (stored("max-age=60", "Vary: X-A", TAG, to=get("X-A: 1")),)
    explanation = explain(GET, found, NOW, OPTIONS)
    assert explanation.reason is Reason.VARY_MISS
    assert names(explanation)[-3:] == ["variant", "asked", "failure"]
    assert named(explanation, "asked").text == 'The origin is asked with If-None-Match: "a".'
    assert "nothing stored may stand in" in named(explanation, "failure").text


@pytest.mark.parametrize(
    ("range_", "reason", "verdict", "text", "asked"),
    [
        param(
            "bytes=2-5", Reason.HIT, "yes", "all that this request needs", "asked nothing",
            id="3.4 within",
        ),
        param(
            "bytes=5-19", Reason.PARTIAL_MISS, "no",
            "10-19 are missing, and can be joined to them",
            'asked with Range: bytes=10-19 and If-Range: "a"', id="3.4 next to it",
        ),
        param(
            "bytes=50-59", Reason.PARTIAL_MISS, "no", "what is missing is not one range next to",
            "asked what the client asks", id="3.4 apart",
        ),
    ],
)  # fmt: skip
def test_parts(range_: str, reason: Reason, verdict: str, text: str, asked: str) -> None:
    explanation = explain(get(f"Range: {range_}"), (PART,), NOW, OPTIONS)
    clause = named(explanation, "part")
    assert explanation.reason is reason
    assert clause.verdict.value == verdict
    assert clause.text.startswith("Of 100 octets, 0-9 are stored: ")
    assert text in clause.text
    assert asked in named(explanation, "asked").text
    assert ("fresh" in names(explanation)) is (reason is Reason.HIT)


SWR = "max-age=60, stale-while-revalidate=60"
SUSPECT = replace(FRESH[0], invalid=True)


@pytest.mark.parametrize(
    ("entry", "asked", "later", "reason", "name", "verdict", "text"),
    [
        param(FRESH[0], "", 59, Reason.HIT, "hit", "yes", "fresh enough", id="4 fresh"),
        param(
            FRESH[0], "max-stale=9", 61, Reason.STALE_ALLOWED, "max-stale", "yes",
            "takes what has been so for up to 9 s", id="5.2.1.2",
        ),
        param(
            FRESH[0], "max-stale", 61, Reason.STALE_ALLOWED, "max-stale", "yes",
            "takes what has been so for any time", id="5.2.1.2 any",
        ),
        param(
            stored(SWR, TAG), "", 61, Reason.STALE_WHILE_REVALIDATE, "stale-while-revalidate",
            "yes", "may be used while it is validated", id="5861 3",
        ),
        param(
            FRESH[0], "", 61, Reason.EXPIRED, "expired", "no", "nothing allows using it so",
            id="4.2.4",
        ),
        param(
            SUSPECT, "", 0, Reason.INVALIDATED, "invalidated", "no", "made it suspect",
            id="4.4 invalidated",
        ),
        param(
            stored("max-age=60, no-cache", TAG), "", 1, Reason.MUST_REVALIDATE, "no-cache", "no",
            "wants to be asked each time", id="5.2.2.4",
        ),
        param(
            FRESH[0], "no-cache", 1, Reason.REQUEST_NO_CACHE, "request-no-cache", "no",
            "the origin's own answer", id="5.2.1.4",
        ),
        param(
            FRESH[0], "max-age=5", 9, Reason.REQUEST_MAX_AGE, "request-max-age", "no",
            "older than the request's max-age of 5 s", id="5.2.1.1",
        ),
        param(
            FRESH[0], "min-fresh=5", 57, Reason.REQUEST_MIN_FRESH, "request-min-fresh", "no",
            "the request's min-fresh of 5 s", id="5.2.1.3",
        ),
        param(
            FRESH[0], "only-if-cached", 70, Reason.ONLY_IF_CACHED, "only-if-cached", "no",
            "504, and the origin is not asked", id="5.2.1.7",
        ),
        param(
            FRESH[0], "only-if-cached", 0, Reason.HIT, "hit", "yes", "fresh enough",
            id="5.2.1.7 fresh",
        ),
    ],
)  # fmt: skip
def test_what_decides_about_one_that_matches(
    entry: StoredResponse,
    asked: str,
    later: float,
    reason: Reason,
    name: str,
    verdict: str,
    text: str,
) -> None:
    request = get(f"Cache-Control: {asked}") if asked else GET
    explanation = explain(request, (entry,), NOW + later, OPTIONS)
    assert explanation.reason is reason
    clause = named(explanation, name)
    assert clause.verdict.value == verdict
    assert text in clause.text


def test_only_if_cached_says_what_it_stands_in_the_way_of() -> None:
    """§5.2.1.7."""
    explanation = explain(get("Cache-Control: only-if-cached"), FRESH, NOW + 70, OPTIONS)
    assert explanation.decision == reuse.Refuse(504, Reason.ONLY_IF_CACHED)
    assert names(explanation)[-2:] == ["expired", "only-if-cached"]


@pytest.mark.parametrize(
    ("found", "options", "asked", "failure"),
    [
        param(
            FRESH, OPTIONS, 'The origin is asked with If-None-Match: "a".',
            "If the origin cannot be reached or answers 5xx, what is stored is the answer, for"
            f" 86390 s more, until {date(86460)}.", id="4.3.1, 5861 4",
        ),
        param(
            kept("max-age=60"), OPTIONS,
            "The origin is asked what the client asks: there is no validator.",
            f" 86390 s more, until {date(86460)}.", id="nothing to validate by",
        ),
        param(
            FRESH, STRICT, 'The origin is asked with If-None-Match: "a".',
            "If that fails, the client gets the error: nothing stored may stand in.", id="4.2.4",
        ),
        param(
            FRESH, LENIENT, 'Behind the answer the origin is asked with If-None-Match: "a".',
            "If that fails, what is stored stays as it is.", id="5861 3",
        ),
    ],
)  # fmt: skip
def test_what_the_origin_is_asked_and_what_if_it_fails(
    found: Sequence[StoredResponse], options: Options, asked: str, failure: str
) -> None:
    explanation = explain(GET, found, NOW + 70, options)
    assert named(explanation, "asked").text == asked
    assert named(explanation, "failure").text.endswith(failure)
    stale = named(explanation, "fresh")
    assert stale.verdict is Verdict.NO
    assert stale.text == f"It has been stale for 10 s, since {date(60)}."


def test_the_terms_of_an_entry() -> None:
    lines = ("max-age=60, stale-while-revalidate=5", TAG, "Age: 7", f"Date: {date(-2)}")
    entry = replace(stored(*lines), request_time=NOW - 1)
    assert arithmetic(entry, NOW + 10, OPTIONS, None) == {
        "lifetime": Term(60, "RFC 9111 §4.2.1"),
        "source": Term("max-age", "RFC 9111 §4.2.1"),
        "date": Term(NOW - 2, "RFC 9110 §6.6.1"),
        "age_value": Term(7, "RFC 9111 §5.1"),
        "request_time": Term(NOW - 1, "RFC 9111 §4.2.3"),
        "response_time": Term(NOW, "RFC 9111 §4.2.3"),
        "initial_age": Term(8, "RFC 9111 §4.2.3"),
        "born": Term(NOW - 8, "RFC 9111 §4.2.3"),
        "age": Term(18, "RFC 9111 §4.2.3"),
        "fresh_until": Term(NOW + 52, "RFC 9111 §4.2"),
        "ttl": Term(42, "RFC 9111 §4.2"),
        "stale_while_revalidate": Term(5, "RFC 5861 §3"),
        "stale_if_error": Term(86400, "RFC 5861 §4"),
        "stale_forbidden": Term(False, "RFC 9111 §4.2.4"),
        "validate": Term(False, "RFC 9111 §5.2.2.4"),
        "invalid": Term(False, "RFC 9111 §4.4"),
    }


def test_a_lifetime_that_no_date_can_say() -> None:
    forever = Options(freshness=FreshnessOptions(stale_if_error=Seconds(1e15)))
    explanation = explain(GET, FRESH, NOW + 70, forever)
    assert named(explanation, "failure").text.endswith("until Fri, 31 Dec 9999 23:59:59 GMT.")
    assert at(-1e15) == "Mon, 01 Jan 0001 00:00:00 GMT"


def test_foreign_text_is_cut() -> None:
    assert cut("x" * LONGEST) == "x" * LONGEST
    assert cut("x" * (LONGEST + 1)) == "x" * LONGEST + "..."
    long = "x" * 9000
    found = (stored("max-age=60", f'ETag: "{long}"', "Vary: X-A", to=get(f"X-A: {long}")),)
    for request in (GET, get(f"X-A: {long}")):
        for clause in clauses(explain(request, found, NOW + 70, OPTIONS)):
            assert len(clause.text) < 3 * LONGEST


CONTROLS = ["", "max-age=60", "max-age=0", "no-cache", SWR, "s-maxage=5", "public", "private"]
ASKED = ["no-cache", "no-store", "max-age=5", "max-stale", "min-fresh=9", "only-if-cached"]


@settings(max_examples=50, derandomize=True)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    asked=st.lists(st.sampled_from(ASKED), max_size=3),
    control=st.sampled_from(CONTROLS),
    later=st.sampled_from([0, 7, 70, 1e6]),
    options=st.sampled_from([OPTIONS, OFF, STRICT, LENIENT, RULED]),
)
def test_it_only_repeats_what_was_decided(
    method: str, asked: list[str], control: str, later: float, options: Options
) -> None:
    request = req(f"{method} {URL}", f"Cache-Control: {', '.join(asked)}")
    found = (stored(control, TAG),)
    explanation = explain(request, found, NOW + later, options)
    assert explanation.decision == reuse.decide(request, found, NOW + later, options)
