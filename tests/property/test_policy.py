"""Laws of the policy floor: they hold for any response and any request."""

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.policy import freshness, reuse, revalidation, storing
from proxy.policy.directives import (
    MAX_DELTA,
    parse_request_directives,
    parse_response_directives,
)
from proxy.policy.keys import selecting
from proxy.policy.stored import StoredResponse
from proxy.semantics.fields import Fields
from proxy.semantics.messages import Request, ResponseHead
from tests.support.stored import GET, NOW, OPTIONS, at, get

law = settings(max_examples=50, derandomize=True, deadline=None)

AGES = st.sampled_from(["0", "5", "60", "003600", "99999999999", "-1", "x", '"9"', '" 9"', ""])
DIRECTIVES = st.one_of(
    st.sampled_from(["no-store", "no-cache", "private", "public", "must-revalidate", "x=y", ""]),
    st.sampled_from(['no-cache="x-a"', "must-understand", "proxy-revalidate", 'y="']),
    st.builds("max-age={}".format, AGES),
    st.builds("max-age = {}".format, AGES),
    st.builds("s-maxage={}".format, AGES),
    st.builds("stale-while-revalidate={}".format, AGES),
    st.builds("stale-if-error={}".format, AGES),
)
ASKED = st.one_of(
    st.sampled_from(["no-cache", "no-store", "only-if-cached", "max-stale", "x"]),
    st.builds("max-age={}".format, AGES),
    st.builds("min-fresh={}".format, AGES),
    st.builds("max-stale={}".format, AGES),
)
DATES = st.integers(-200000, 200).map(at) | st.sampled_from(["foo", "0", ""])
LINES = st.one_of(
    st.tuples(st.just("Cache-Control"), DIRECTIVES),
    st.tuples(st.sampled_from(["Date", "Expires", "Last-Modified"]), DATES),
    st.tuples(st.just("Age"), AGES),
    st.tuples(st.just("ETag"), st.sampled_from(['"a"', 'W/"a"', '"b"', "c"])),
    st.tuples(st.just("Vary"), st.sampled_from(["Foo", "Foo, Bar", "*", ""])),
    st.tuples(st.sampled_from(["X-A", "X-B"]), st.sampled_from(["1", "2"])),
    st.tuples(st.just("Access-Control-Allow-Origin"), st.sampled_from(["*", "http://a.test"])),
)
FIELDS = st.lists(LINES, max_size=6).map(Fields)
STATUSES = st.sampled_from([200, 200, 203, 301, 302, 404, 500, 599, 600])
HEADS = st.builds(ResponseHead, STATUSES, st.just("OK"), FIELDS)
REQUESTS = st.lists(
    st.builds("Cache-Control: {}".format, ASKED) | st.sampled_from(["Foo: 1", "Cookie: a"]),
    max_size=3,
).map(lambda lines: get(*lines))
MOMENTS = st.floats(0, 100000)


def store(request: Request, head: ResponseHead) -> StoredResponse:
    return storing.from_response(request, head, OPTIONS, "1", NOW, NOW)


@law
@given(REQUESTS, HEADS)
def test_what_is_not_for_everybody_is_never_stored(request: Request, head: ResponseHead) -> None:
    directives = parse_response_directives(head.fields)
    withheld = directives.no_store and not directives.must_understand
    if withheld or directives.private or "*" in head.fields.members("vary"):
        may = storing.may_store(request, head, NOW, OPTIONS)
        assert isinstance(may, storing.DoNotStore)


@law
@given(REQUESTS, REQUESTS, HEADS, MOMENTS)
def test_what_is_served_was_allowed_to_be(
    first: Request, second: Request, head: ResponseHead, later: float
) -> None:
    held, now = store(first, head), NOW + later
    decision = reuse.decide(second, (held,), now, OPTIONS)
    if isinstance(decision, reuse.Serve | reuse.ServeAndRevalidate):
        terms = freshness.terms(held, OPTIONS, None)
        assert not terms.validate
        assert now < terms.fresh_until or not terms.stale_forbidden
        assert now < decision.until
        assert not parse_request_directives(second.fields).no_cache


@law
@given(REQUESTS, REQUESTS, HEADS, MOMENTS, st.floats(0, 1, exclude_max=True))
def test_a_decision_to_serve_stands_until_it_says(
    first: Request, second: Request, head: ResponseHead, later: float, fraction: float
) -> None:
    held = store(first, head)
    decision = reuse.decide(second, (held,), NOW + later, OPTIONS)
    if isinstance(decision, reuse.Serve | reuse.ServeAndRevalidate):
        moment = NOW + later + (decision.until - NOW - later) * fraction
        if moment < decision.until:
            assert reuse.decide(second, (held,), moment, OPTIONS) == decision


@law
@given(HEADS, st.lists(st.floats(-1000, 100000), min_size=2, max_size=5))
def test_age_is_never_negative_and_never_decreases(
    head: ResponseHead, moments: list[float]
) -> None:
    held = store(GET, head)
    ages = [freshness.current_age(held, NOW + moment) for moment in sorted(moments)]
    assert ages == sorted(ages)
    assert ages[0] >= 0


@law
@given(HEADS)
def test_lifetimes_are_bounded(head: ResponseHead) -> None:
    assert 0 <= freshness.lifetime(store(GET, head), OPTIONS) <= MAX_DELTA


@law
@given(HEADS, FIELDS)
def test_a_304_twice_is_a_304_once(head: ResponseHead, update: Fields) -> None:
    def freshened(held: StoredResponse) -> StoredResponse:
        new = ResponseHead(304, "", update)
        return revalidation.freshened(held, new, GET, OPTIONS, NOW + 50, NOW + 50)

    once = freshened(store(GET, head))
    assert freshened(once) == once


@law
@given(st.permutations(range(4)), REQUESTS)
def test_the_order_of_what_is_found_does_not_matter(order: list[int], request: Request) -> None:
    heads = [ResponseHead(200, "", Fields([("Date", at(-n)), ("Age", "0")])) for n in range(4)]
    found = [replace(store(GET, head), id=str(n)) for n, head in enumerate(heads)]
    first = reuse.decide(request, found, NOW, OPTIONS)
    assert reuse.decide(request, [found[n] for n in order], NOW, OPTIONS) == first


@law
@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=30), max_size=4))
def test_any_text_is_read_and_never_hides_a_no_store(texts: list[str]) -> None:
    lines = Fields([("Cache-Control", text) for text in [*texts, "no-store"]])
    assert parse_response_directives(lines, ("Cache-Control",)) is not None
    assert parse_response_directives(lines).no_store
    assert parse_request_directives(lines).no_store


@law
@given(
    st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text("1, a;=", max_size=4), max_size=2),
    st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text("1, a;=", max_size=4), max_size=2),
)
@example({"A": ",1"}, {"A": "1"})
@example({"A": "1,a"}, {"A": "1, a"})
@example({"A": " 1 a\t"}, {"A": "1 a"})
def test_selecting_is_equal_only_octet_by_octet(one: dict[str, str], other: dict[str, str]) -> None:
    first, second = Fields(one.items()), Fields(other.items())
    vary = ["A", "B", "C"]
    same = one.keys() == other.keys() and all(
        one[name].strip(" \t") == other[name].strip(" \t") for name in one
    )
    assert (selecting(vary, first) == selecting(vary, second)) is same


# What is nearly a list, a weight or a token.
VALUES = st.lists(st.sampled_from(["a", "B", "1", ",", ";q=0.5", "q", " ", "\t", '"', "*", "\x0b"]))


@law
@given(VALUES.map("".join), st.sampled_from(["Accept", "Accept-Language", "Accept-Encoding"]))
def test_what_is_compared_stands_for_itself(value: str, name: str) -> None:
    once = selecting((name,), Fields([(name, value)]))
    assert once is not None
    (said,) = [said for _, said in once]
    assert selecting((name,), Fields([(name, said or "")])) == once
