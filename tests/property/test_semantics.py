"""Laws of the values of RFC 9110."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.semantics import dates, forwarding, ranges, status_fields, targets, validators
from proxy.semantics.fields import Fields
from proxy.semantics.grammar import is_token, list_members
from proxy.semantics.units import (
    Octets,
    Seconds,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from tests.support.build import req, resp, uri

law = settings(derandomize=True, max_examples=50, deadline=None)

LATIN_1 = st.characters(max_codepoint=255)
OCTETS = st.text(LATIN_1, max_size=60)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
LISTS = st.text(st.sampled_from('ab,"\\ \t'), max_size=30)
TOKENS = st.sampled_from(
    ["a", "B-c", "close", "host", "Vary", "te", "upgrade", "via", "x-hop", "content-length"]
)
LINES = st.lists(st.tuples(TOKENS | st.just("Connection"), st.lists(TOKENS).map(", ".join)))
SECONDS = st.integers(-62135596800, 253402300799)


@law
@given(st.sampled_from(["GET", "OPTIONS", "CONNECT"]), OCTETS | VISIBLE.map("http://{}".format))
def test_any_text_is_a_target_or_a_bad_target(method: str, text: str) -> None:
    try:
        target = targets.parse(method, text)
    except targets.BadTarget:
        return
    assert not isinstance(target, targets.Absolute) or " " not in str(target.uri)


HOSTS = st.from_regex(
    r"([A-Za-z_-]{1,9}\.){0,3}[A-Za-z]{1,9}\.?", fullmatch=True
) | st.ip_addresses(v=6).map("[{}]".format)
AUTHORITIES = st.tuples(HOSTS, st.just("") | st.integers(1, 65535).map(":{}".format)).map("".join)
PATHS = st.text(LATIN_1, max_size=20).map(
    lambda text: "/" + "".join(c for c in text if c > " " and c not in "#\x7f" and ord(c) != 127)
)


@law
@given(st.sampled_from(["http", "HTTPS", "ws", "Wss"]), AUTHORITIES, PATHS)
def test_the_key_form_is_a_fixed_point(scheme: str, authority: str, path: str) -> None:
    once = uri(f"{scheme}://{authority}{path}")
    assert once.path == path
    assert uri(str(once)) == once


@law
@given(LISTS)
def test_members_are_never_empty_and_lose_nothing_but_commas_and_space(value: str) -> None:
    members = list_members(value)
    assert all(member.strip(" \t") == member != "" for member in members)
    strip = str.maketrans("", "", ", \t")
    assert "".join(members).translate(strip) == value.translate(strip)


@law
@given(st.lists(st.from_regex(r"[a-z]{1,3}|\"([a-z, ]|\\[\"\\])*\"", fullmatch=True)))
def test_members_come_back(members: list[str]) -> None:
    assert list_members(" ,\t".join(members)) == members


@law
@given(OCTETS)
def test_tokens_are_members(text: str) -> None:
    assert not is_token(text) or list_members(text) == [text]


@law
@given(SECONDS)
def test_dates_come_back(seconds: int) -> None:
    text = dates.format_date(seconds)
    assert dates.parse_date(text) == seconds
    moment = datetime.fromtimestamp(seconds, UTC)
    asctime = f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S} {moment.year:04}"
    assert dates.parse_date(asctime) == seconds


@law
@given(st.integers(0, 4102444800), st.integers(-1577836800, 1577836800))
def test_two_digit_years_within_fifty_years_come_back(now: int, distance: int) -> None:
    # 1,577,836,800 seconds are 50 years that have only 12 leap days.
    moment = datetime.fromtimestamp(now + distance * 0.99, UTC).replace(microsecond=0)
    text = f"{moment:%A, %d-%b-%y %H:%M:%S} GMT"
    assert dates.parse_date(text, now) == moment.timestamp()


@law
@given(st.text(st.sampled_from("SunMo, 0123456789Nov:-GMT"), max_size=32))
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert isinstance(dates.parse_date(text, 0.0), float | None)


TAGS = st.builds(
    validators.ETag,
    st.from_regex(r"[\x21\x23-\x7e\x80-\xff]*", fullmatch=True),
    st.booleans(),
)


@law
@given(st.lists(TAGS, min_size=1), st.sampled_from([",", ", ", " ,,\t"]))
def test_entity_tags_come_back(tags: list[validators.ETag], comma: str) -> None:
    assert validators.parse_etags(comma.join(map(str, tags))) == tuple(tags)
    assert validators.parse_etag(str(tags[0])) == tags[0]


@law
@given(TAGS, TAGS)
def test_strong_implies_weak(one: validators.ETag, other: validators.ETag) -> None:
    assert not one.matches_strongly(other) or one.matches_weakly(other)
    assert one.matches_strongly(other) == other.matches_strongly(one)


@law
@given(st.from_regex(r"bytes=[-0-9, ]{0,40}", fullmatch=True), st.integers(0, 1000))
def test_a_plan_stays_inside_and_never_costs_more_than_the_whole(value: str, length: int) -> None:
    match ranges.plan(req("GET http://a.example/", f"Range: {value}"), resp(200), length):
        case ranges.Single(first, last):
            assert 0 <= first <= last < length
        case ranges.Multiple(spans):
            assert 2 <= len(spans) <= ranges.MOST_RANGES
            assert all(0 <= first <= last < length for first, last in spans)
            assert sum(last - first + 1 for first, last in spans) <= length
        case ranges.Unsatisfiable() | ranges.Whole():
            pass


@law
@given(st.integers(0, 99), st.integers(0, 99), st.none() | st.integers(1, 99))
def test_content_range_comes_back(first: int, more: int, rest: int | None) -> None:
    last = first + more
    held = ranges.ContentRange(first, last, None if rest is None else last + rest)
    assert ranges.parse_content_range(str(held)) == held


@law
@given(LINES)
def test_forwarding_twice_only_adds_to_via(lines: list[tuple[str, str]]) -> None:
    here = uri("http://a.example/")
    once = forwarding.request_fields(Fields(lines), here, "p", 1)
    assert forwarding.request_fields(once, here, "p", 1).lines[:-1] == once.lines
    assert once.all("host") == ("a.example",)
    assert not forwarding.nominated(once)
    assert forwarding.passed_through(once, "p")
    assert "content-length" not in once


@law
@given(LINES)
def test_a_forwarded_response_keeps_the_order_of_what_it_keeps(
    lines: list[tuple[str, str]],
) -> None:
    kept = iter(lines)
    sent = forwarding.response_fields(Fields(lines), "p", 1)
    assert all(line in kept for line in sent.lines[:-1])


@law
@given(st.text(max_size=40))
def test_status_fields_are_ascii_without_line_ends(text: str) -> None:
    for field in (
        status_fields.cache_status(key=text, detail=text),
        status_fields.proxy_status("dns_error", text),
    ):
        assert field.isascii()
        assert field.isprintable()


@law
@given(st.integers(0, 10**9), st.integers(0, 2**50))
def test_units_come_back(milliseconds: int, octets: int) -> None:
    seconds = Seconds(milliseconds / 1000)
    assert abs(parse_duration(format_duration(seconds)) - seconds) < 1e-6
    assert parse_size(format_size(octets)) == Octets(octets)
