"""Cache-Control, Pragma and targeted fields: what they say, however they say it."""

import pytest

from proxy.policy.directives import (
    MAX_DELTA,
    NO_REQUEST_DIRECTIVES,
    RequestDirectives,
    ResponseDirectives,
    delta_seconds,
    parse_request_directives,
    parse_response_directives,
)
from tests.support.build import fields

param = pytest.param

CDN = ("CDN-Cache-Control",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        param("3600", 3600, id="digits"),
        param("003600", 3600, id="leading zeros"),
        param("000", 0, id="only zeros"),
        param("2147483647", 2147483647, id="2^31-1"),
        param("2147483649", MAX_DELTA, id="over 2^31"),
        param("99999999999", MAX_DELTA, id="over ten digits"),
        param("9" * 5000, MAX_DELTA, id="more digits than int() takes"),
        param("-1", None, id="negative"),
        param("1.0", None, id="fraction"),
        param("\u0661", None, id="other digits"),
        param("", None, id="nothing"),
    ],
)
def test_delta_seconds(text: str, seconds: int | None) -> None:
    assert delta_seconds(text) == seconds


@pytest.mark.parametrize(
    ("value", "age"),
    [
        param("max-age=60", 60, id="5.2.2.1"),
        param("MaX-aGe=60", 60, id="5.2 names in any case"),
        param('max-age="60"', 60, id="5.2 quoted form"),
        param('max-age="6\\0"', 60, id="quoted pair"),
        param("max-age='60'", 0, id="single quotes are none: stale"),
        param("max-age=-60", 0, id="negative: stale"),
        param("max-age=60.5", 0, id="fraction: stale"),
        param("max-age=a60", 0, id="letters: stale"),
        param("max-age", 0, id="no value: stale"),
        param("max-age =60", 60, id="space before ="),
        param("max-age= 60", 60, id="space after ="),
        param("max-age \t=\t 60, public", 60, id="blanks around ="),
        param('max-age=" 60"', 60, id="a blank within the quotes"),
        param('max-age = "60\t "', 60, id="blanks around = and within the quotes"),
        param("max-age=6 0", 0, id="a blank within the number: stale"),
        param('max-age="6 0"', 0, id="the same, quoted: stale"),
        param("max-age==60", 0, id="= twice: stale"),
        param("max-age = ", 0, id="= and no value: stale"),
        param("max-age = a60", 0, id="blanks and letters: stale"),
        param("max-age=\x0b60", 0, id="another control octet: stale"),
        param("max-age=60, max-age = 9", 9, id="4.2.1 repeated: the smaller, with blanks"),
        param("s-max-age = 60", None, id="another name"),
        param("max-age=1800, max-age=1", 1, id="4.2.1 repeated: the smaller"),
        param("max-age=1, max-age=1800", 1, id="4.2.1 repeated: the smaller, first"),
        param('ext="max-age=3600", max-age=1', 1, id="inside quotes is nothing"),
        param('ext="a, max-age=3600"', None, id="quoted commas do not split"),
        param("", None, id="empty"),
        param("foobar, max-age=60", 60, id="beside an extension"),
    ],
)
def test_max_age(value: str, age: int | None) -> None:
    assert parse_response_directives(fields(f"Cache-Control: {value}")).max_age == age


def test_lines_are_one_list() -> None:
    said = parse_response_directives(fields("Cache-Control: max-age=9", "cache-control: no-store"))
    assert said == ResponseDirectives(max_age=9, no_store=True)


@pytest.mark.parametrize(
    "lines",
    [
        param(["x=" + "y" * 300 + ", max-age=5"], id="one long line"),
        param(["x=" + "y" * 200, "x=" + "z" * 100 + ", max-age=5"], id="several, long together"),
    ],
)
def test_what_is_too_long_to_be_remembered(lines: list[str]) -> None:
    said = parse_response_directives(fields(*(f"Cache-Control: {line}" for line in lines)))
    assert (said.max_age, said.extensions) == (5, frozenset({"x"}))


def test_all_response_directives() -> None:
    said = parse_response_directives(
        fields(
            "Cache-Control: s-maxage=1, stale-while-revalidate=2, stale-if-error=3, public",
            "Cache-Control: must-revalidate, proxy-revalidate, must-understand, immutable, x=y",
        )
    )
    assert said == ResponseDirectives(
        s_maxage=1,
        stale_while_revalidate=2,
        stale_if_error=3,
        public=True,
        must_revalidate=True,
        proxy_revalidate=True,
        must_understand=True,
        extensions=frozenset({"immutable", "x"}),
    )


@pytest.mark.parametrize(
    "value",
    [
        param("NO-STORE", id="case"),
        param("no-store=1", id="with an argument"),
        param("no-store;x", id="with junk behind it"),
        param(", ,no-store", id="empty members"),
        param('x="y, no-store', id="behind a quote that is never closed"),
        param("\x01no-store", id="with a control octet before it"),
        param("max-age=60,\x0b no-store\x1f", id="with some around it"),
    ],
)
def test_no_store_counts_in_any_form(value: str) -> None:
    assert parse_response_directives(fields(f"Cache-Control: {value}")).no_store


@pytest.mark.parametrize(
    ("value", "unqualified", "withheld"),
    [
        param("private", True, set(), id="5.2.2.7 unqualified"),
        param('private="Set-Cookie, X-A"', False, {"set-cookie", "x-a"}, id="qualified"),
        param("private=set-cookie", False, {"set-cookie"}, id="as a token"),
        param('private, private="x-a"', True, {"x-a"}, id="both: unqualified"),
        param('private=""', True, set(), id="no field: unqualified"),
        param('private="a b"', True, set(), id="no field name: unqualified"),
        param('private="x-a', True, set(), id="never closed: unqualified"),
        param('private="x-a, vary"', True, set(), id="a field that governs: unqualified"),
        param('private = "x-a"', True, set(), id="blanks around =: unqualified"),
    ],
)
def test_qualified_forms(value: str, unqualified: bool, withheld: set[str]) -> None:
    private = parse_response_directives(fields(f"Cache-Control: {value}"))
    assert (private.private, set(private.withheld)) == (unqualified, withheld)
    no_cache = fields(f"Cache-Control: {value.replace('private', 'no-cache')}")
    said = parse_response_directives(no_cache)
    assert (said.no_cache, set(said.withheld)) == (unqualified, withheld)


@pytest.mark.parametrize(
    ("targeted", "said"),
    [
        param("max-age=10", ResponseDirectives(max_age=10, targeted=True), id="2.2 used alone"),
        param("max-age=-1", ResponseDirectives(max_age=0, targeted=True), id="negative: stale"),
        param("max-age=1;p=2;q, x=1.5, y=:AA==:, z=(a \"b\";c ?1)",
              ResponseDirectives(max_age=1, targeted=True, extensions=frozenset("xyz")),
              id="all types, parameters ignored"),
        param("max-age=5, max-age=9", ResponseDirectives(max_age=9, targeted=True),
              id="the last of equal keys (RFC 9651)"),
        param("no-store \t,\tpublic ",
              ResponseDirectives(no_store=True, public=True, targeted=True), id="white space"),
        param("no-store=?1, public=?0", ResponseDirectives(no_store=True, targeted=True),
              id="false is absent"),
        param('private="X-A, x-\\"b"', ResponseDirectives(private=True, targeted=True),
              id="no field name: unqualified"),
        param('no-cache="X-A"',
              ResponseDirectives(withheld=frozenset({"x-a"}), targeted=True), id="field names"),
        param("no-cache=5", ResponseDirectives(no_cache=True, targeted=True), id="unqualified"),
        param("", None, id="2.2 empty is ignored"),
        param("max-age=10, &&&&&", None, id="2.2 invalid is ignored: key"),
        param("max-age=10,", None, id="invalid: trailing comma"),
        param("max-age=10 public", None, id="invalid: no comma"),
        param("max-age =10", None, id="invalid: space before ="),
        param("max-age= 10", None, id="invalid: space after ="),
        param("MaX-aGe=10", None, id="invalid: keys are lower case"),
        param('max-age="10"', None, id="wrong type: string"),
        param("max-age", None, id="wrong type: boolean"),
        param("max-age=10.0", None, id="wrong type: decimal"),
        param("no-store=1", None, id="wrong type: integer"),
    ],
)  # fmt: skip
def test_targeted_fields(targeted: str, said: ResponseDirectives | None) -> None:
    head = fields("Cache-Control: max-age=77", f"CDN-Cache-Control: {targeted}")
    fallback = ResponseDirectives(max_age=77)
    assert parse_response_directives(head, CDN) == (said or fallback)
    assert parse_response_directives(head) == fallback


def test_the_first_usable_targeted_field_counts() -> None:
    head = fields("A-Cache-Control: ?", "B-Cache-Control: max-age=2", "C-Cache-Control: max-age=3")
    names = ("A-Cache-Control", "B-Cache-Control", "C-Cache-Control")
    assert parse_response_directives(head, names).max_age == 2


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        param([], NO_REQUEST_DIRECTIVES, id="none"),
        param(["Cache-Control: no-cache"], RequestDirectives(no_cache=True), id="5.2.1.4"),
        param(["Cache-Control: NO-STORE"], RequestDirectives(no_store=True), id="5.2.1.5"),
        param(["Cache-Control: only-if-cached"], RequestDirectives(only_if_cached=True),
              id="5.2.1.7"),
        param(["Cache-Control: max-age=5, max-age=3"], RequestDirectives(max_age=3),
              id="5.2.1.1 the smaller"),
        param(["Cache-Control: max-age=x"], RequestDirectives(max_age=0), id="invalid max-age: 0"),
        param(["Cache-Control: max-age = 750"], RequestDirectives(max_age=750), id="blanks"),
        param(['Cache-Control: max-age=" 750"'], RequestDirectives(max_age=750), id="in quotes"),
        param(["Cache-Control: max-stale = 5, min-fresh= 7, stale-if-error =9"],
              RequestDirectives(max_stale=5, min_fresh=7, stale_if_error=9), id="blanks: others"),
        param(["Cache-Control: max-stale = "], RequestDirectives(max_stale=0), id="= and nothing"),
        param(["Cache-Control: no-store = x"], RequestDirectives(no_store=True), id="flags"),
        param(["Cache-Control: max-stale=5"], RequestDirectives(max_stale=5), id="5.2.1.2"),
        param(["Cache-Control: max-stale"], RequestDirectives(max_stale=MAX_DELTA),
              id="5.2.1.2 any staleness"),
        param(["Cache-Control: max-stale=x"], RequestDirectives(max_stale=0), id="invalid: none"),
        param(["Cache-Control: min-fresh=5, min-fresh=7"], RequestDirectives(min_fresh=7),
              id="5.2.1.3 the larger"),
        param(["Cache-Control: stale-if-error=9"], RequestDirectives(stale_if_error=9),
              id="RFC 5861 4"),
        param(["Pragma: x, No-Cache"], RequestDirectives(no_cache=True), id="5.4 Pragma"),
        param(["Pragma: x"], NO_REQUEST_DIRECTIVES, id="5.4 other pragmas"),
        param(["Pragma: no-cache", "Cache-Control: x"], NO_REQUEST_DIRECTIVES,
              id="5.4 not beside Cache-Control"),
        param(["Cache-Control: =, no-cache"], RequestDirectives(no_cache=True), id="junk"),
    ],
)  # fmt: skip
def test_request_directives(lines: list[str], said: RequestDirectives) -> None:
    assert parse_request_directives(fields(*lines)) == said
