"""Primary keys, selecting fields, and what is in no key (RFC 9111 §2, §4.1)."""

from dataclasses import replace

import pytest

from proxy.policy import keys
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from tests.support.build import fields, req, uri
from tests.support.stored import OPTIONS, get, stored

param = pytest.param

TRACKED = Rule(match="http://a.example/**", ignore_query=("utm_*", "fbclid"))


MANY = [f"x{number}" for number in range(keys.MOST_NAMES)]


@pytest.mark.parametrize(
    ("path", "rule", "key"),
    [
        param("/x?a=1&utm_x=2", None, "/x?a=1&utm_x=2", id="2 query untouched"),
        param("/x?a=1&utm_x=2", Rule(match="http://a/**"), "/x?a=1&utm_x=2", id="other rule"),
        param("/x?a=1&utm_x=2&b", TRACKED, "/x?a=1&b", id="ignored between others"),
        param("/x?utm_x=2&fbclid=3", TRACKED, "/x", id="all ignored: as without query"),
        param("/x?", TRACKED, "/x?", id="an empty query is one"),
        param("/x", TRACKED, "/x", id="no query"),
        param("/x?b=2&a=1", TRACKED, "/x?b=2&a=1", id="order untouched"),
        param("/x?a=utm_x", TRACKED, "/x?a=utm_x", id="names, not values"),
    ],
)
def test_primary(path: str, rule: Rule | None, key: str) -> None:
    assert keys.primary(uri(f"http://a.example{path}"), rule) == f"http://a.example{key}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        param("http://a.example/x", "HTTP://A.Example/x", True, id="4.2.3 case of scheme and host"),
        param("http://a.example/x", "http://a.example:80/x", True, id="4.2.3 the default port"),
        param("http://a.example/x", "http://a.example:/x", True, id="4.2.3 an empty port"),
        param("http://a.example/", "http://a.example", True, id="4.2.3 an empty path"),
        param("http://a.example/x", "http://a.example./x", True, id="a complete name"),
        param("http://[::1]/x", "http://[0:0::1]/x", True, id="one address"),
        param("http://a.example/x", "https://a.example/x", False, id="another scheme"),
        param("http://a.example:443/x", "https://a.example/x", False, id="one port, two schemes"),
        param("http://a.example/x", "http://a.example:8080/x", False, id="another port"),
        param("http://a.example/x", "http://a.example/X", False, id="case of the path"),
        param("http://a.example/A", "http://a.example/%41", False, id="percent-encoding"),
        param("http://a.example/%2f", "http://a.example/%2F", False, id="case of percent-encoding"),
        param("http://a.example/x", "http://a.example/x?", False, id="an empty query"),
        param("http://a.example/x", "http://a.example//x", False, id="an empty segment"),
        param("http://a.example/x", "http://a.example/./x", False, id="a dot segment"),
        param("http://a.example/?a=1&b", "http://a.example/?b&a=1", False, id="order of a query"),
    ],
)
def test_one_key(one: str, other: str, same: bool) -> None:
    assert (keys.primary(uri(one), None) == keys.primary(uri(other), None)) is same


@pytest.mark.parametrize(
    ("vary", "lines", "selecting"),
    [
        param([], ["Foo: 1"], (), id="no Vary"),
        param(["*"], [], None, id="4.1 *"),
        param(["Foo", "*"], ["Foo: 1"], None, id="4.1 * among others"),
        param(["Foo", "BAR", "foo"], ["foo: 1"], (("bar", None), ("foo", "1")), id="sorted"),
        param(["Foo"], ["Foo:"], (("foo", ""),), id="empty is not absent"),
        param(["Foo"], ["Foo: 1", "Foo: 2"], (("foo", "1, 2"),), id="5.3 lines combined"),
        param(["Foo"], ["Foo:  1 ,2 "], (("foo", "1 ,2"),), id="unknown: whitespace kept"),
        param(["Foo"], ["Foo: ,2,,"], (("foo", ",2,,"),), id="unknown: empty members kept"),
        param(["Foo"], ["Foo: b, A"], (("foo", "b, A"),), id="unknown: order and case kept"),
        param(["Foo"], ['Foo: "a , b"'], (("foo", '"a , b"'),), id="quotes kept"),
        param(["Accept-Language"], ["Accept-Language: eN ,  De"],
              (("accept-language", "de,en"),), id="languages: case and order"),
        param(["Accept-Language"], ["Accept-Language: fr;q=0.5, en;q=1.0, de ; q=0.50"],
              (("accept-language", "en,de;q=0.5,fr;q=0.5"),), id="by weight, then tag"),
        param(["Accept-Encoding"], ["Accept-Encoding: gzip, br;q=1.0"],
              (("accept-encoding", "br,gzip"),), id="codings: by weight, then name"),
        param(["Accept-Encoding"], ["Accept-Encoding: GZIP, *;Q=0"],
              (("accept-encoding", "gzip,*;q=0"),), id="codings"),
        param(["Accept-Charset"], ["Accept-Charset: UTF-8, *;q=0.1"],
              (("accept-charset", "utf-8,*;q=0.1"),), id="charsets"),
        param(["Accept"], ["Accept: b/c , a/B ;q=1"], (("accept", "b/c,a/B ;q=1"),),
              id="Accept: only whitespace at commas"),
        param(["Accept"], ['Accept: a/b;c="d , e",*/*'], (("accept", 'a/b;c="d , e",*/*'),),
              id="Accept: quotes kept"),
        *(
            param([name], [f"{name}: {value}"], ((name.lower(), value),), id=f"invalid: {value}")
            for name, value in (
                ("Accept-Encoding", "br;q=x, gzip"), ("Accept-Encoding", "gzip, , br"),
                ("Accept-Encoding", "b r, gzip"), ("Accept-Encoding", "gzip;q=2, br"),
                ("Accept-Language", "e n, De"), ("Accept-Language", ", en"),
                ("Accept-Language", "en;q=0.1234, De"), ("Accept-Language", "en\xa0, De"),
                ("Accept-Charset", "a/b, C"), ("Accept", "a , b/c"), ("Accept", "a/b , ,c/d"),
                ("Accept", 'a/b;c="d , e/f'), ("Accept", "x/1,,y , z/2"),
                ("Accept", "a/b;q=2 , c/d"), ("Accept", "a/b;q=.5 , c/d"),
                ("Accept", 'a/b;q="1" , c/d'), ("Accept", "a/b;c , d/e"),
                ("Accept-Encoding", "gzip;q=1.001 , br"), ("Accept-Encoding", "gzip;q , br"),
                ("Accept-Encoding", "gzip;x=1 , br"), ("Accept-Language", "en;q=-1 , de"),
            )
        ),
        *(
            param([name], [f"{name}: {value}"], ((name.lower(), value),), id=f"twice: {value}")
            for name, value in (
                ("Accept-Encoding", "gzip;q=0, gzip"), ("Accept-Encoding", "gzip, GZIP;q=0"),
                ("Accept-Language", "de;q=0.5 , DE"), ("Accept-Charset", "a , a"),
            )
        ),
        param(["Foo"], ["Foo: " + "a" * 200], (("foo", "a" * 200),), id="long"),
    ],
)  # fmt: skip
def test_selecting(vary: list[str], lines: list[str], selecting: keys.Selecting | None) -> None:
    assert keys.selecting(vary, fields(*lines)) == selecting


@pytest.mark.parametrize(
    ("lines", "members"),
    [
        param([], [], id="nothing"),
        param(["Vary: A, b"], ["a", "b"], id="Vary"),
        param(["Access-Control-Allow-Origin: *"], [], id="for every origin"),
        param(["Access-Control-Allow-Origin: http://a.test"], ["origin"], id="for one"),
        param(["Access-Control-Allow-Origin: null"], ["origin"], id="for opaque ones"),
        param(["Access-Control-Allow-Origin: *, http://a.test"], ["origin"], id="invalid"),
        param(["Access-Control-Allow-Origin: http://a.test", "Vary: A, Origin"], ["a", "origin"],
              id="said anyway"),
        param(["Vary: *", "Access-Control-Allow-Origin: x"], ["*", "origin"], id="*"),
        param(["Vary: a, Cookie\x01"], ["*", "a"], id="what is no name"),
        param(["Vary: " + ", ".join(MANY)], sorted(MANY), id="many names"),
        param(["Vary: " + ", ".join(MANY), "Vary: y"], ["*"], id="too many"),
    ],
)  # fmt: skip
def test_what_selects_a_response(lines: list[str], members: list[str]) -> None:
    assert sorted(set(keys.varying(fields(*lines)))) == members


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "Referer"])
def test_what_is_secret_selects_without_being_kept(name: str) -> None:
    """And without being shown, whoever looks at what is stored."""
    one, same, other = (
        keys.selecting([name], fields(f"{name}: http://u:secret@{host}/"))
        for host in ("a", " a".strip(), "b")
    )
    assert one == same != other
    assert one is not None
    ((_, value),) = one
    assert value is not None
    assert "secret" not in value
    assert len(value) > len("sha256:") + 31
    assert keys.selecting([name], fields()) == ((name.lower(), None),)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        param(["A: 1,b: 2"], ["A: 1", "B: 2"], id="a value with the look of a field"),
        param(["A: null"], [], id="a value with the look of absence"),
        param(["A:"], [], id="empty and absent"),
        param(["A: 1, 2"], ["A: 12"], id="joined"),
        param(["A: ,2"], ["A: 2"], id="an empty member"),
        param(["A: a,b"], ["A: a, b"], id="whitespace"),
        param(["A: e n"], ["A: en"], id="whitespace within"),
        param(["A: a\x0b"], ["A: a"], id="whitespace of other grammars"),
        param(["A: id=1,"], ["A: id=1"], id="an empty member at the end"),
        param(["A: x/1,,y"], ["A: x/1,y"], id="an empty member within"),
        param(["A: 1", "A:"], ["A: 1"], id="an empty line after another"),
        param(["A: 1", "A: 2"], ["A: 2", "A: 1"], id="the order of lines"),
        param(["A: 1", "A: 1"], ["A: 1"], id="the same line twice"),
        param(['A: "a"'], ["A: a"], id="quotes"),
        param(['A: "\\a"'], ['A: "a"'], id="an escape"),
        param(["A: en;q=1.0"], ["A: en;q=1"], id="weights of an unknown field"),
    ],
)
def test_selecting_values_cannot_imitate_each_other(first: list[str], second: list[str]) -> None:
    vary = ["A", "B"]
    assert keys.selecting(vary, fields(*first)) != keys.selecting(vary, fields(*second))


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        param("Accept", "a/b,c/d", "a/b , c/d", True, id="whitespace at commas"),
        param("Accept", "a/b;c=D", "a/b;c=d", False, id="case of a parameter's value"),
        param("Accept", "a/B", "a/b", False, id="case of a type: origins differ"),
        param("Accept", "a/b;c=d", "a/b; c=d", False, id="whitespace at a parameter"),
        param("Accept", 'a/b;c="d"', "a/b;c=d", False, id="a quoted value"),
        param("Accept", 'a/b;c="x,y",c/d', 'a/b;c="x, y",c/d', False, id="within quotes"),
        param("Accept", "a/b,c/d", "c/d,a/b", False, id="order of types"),
        param("Accept", "x/1,,y", "x/1,y", False, id="an empty member, and no type"),
        param("Accept-Language", "e n", "en", False, id="no language"),
        param("Accept-Language", "en, de", "de, en", True, id="weights say what is preferred"),
        param("Accept-Language", "en, de;q=0.5", "de;q=0.50,EN;q=1", True, id="weights say it"),
        param("Accept-Language", "en,", "en", False, id="a comma at the end"),
        param("Accept-Language", "en", "en, en", False, id="the same twice"),
        param("Accept-Encoding", "gzip, br", "br,GZIP", True, id="order of codings"),
        param("Accept-Encoding", "gzip;q=0, gzip", "gzip, gzip;q=0", False, id="at odds"),
        param("Accept-Encoding", "gzip;q=0.5", "gzip;q=0.500", True, id="zeros of a weight"),
        param("Accept-Encoding", "gzip;q=1.1", "gzip", False, id="no weight"),
        param("Accept-Encoding", "x-gzip", "gzip", False, id="another name"),
        param("Accept-Encoding", "", "identity", False, id="empty"),
        param("Accept-Charset", "UTF-8;q=0.0", "utf-8;q=0", True, id="charsets"),
    ],
)  # fmt: skip
def test_equal_where_the_grammar_says_so(name: str, one: str, other: str, same: bool) -> None:
    vary = [name]
    first, second = (keys.selecting(vary, fields(f"{name}: {value}")) for value in (one, other))
    assert (first == second) is same


@pytest.mark.parametrize(
    ("lines", "matches"),
    [
        param(["Foo: 1", "Bar: abc", "Other: x"], True, id="same, others do not matter"),
        param(["Bar: abc", "Foo:   1"], True, id="order and whitespace do not matter"),
        param(["Foo: 2", "Bar: abc"], False, id="another value"),
        param(["Foo: 1"], False, id="one absent now"),
        param(["Foo: 1", "Bar: abc", "Baz: 1"], False, id="one absent then"),
    ],
)
def test_selects(lines: list[str], matches: bool) -> None:
    held = stored("max-age=60", "Vary: Foo, Bar, Baz", to=get("Foo: 1", "Bar: abc"))
    assert keys.selects(held, get(*lines)) is matches


def test_without_vary_every_request_selects() -> None:
    assert keys.selects(stored("max-age=60"), get("Foo: 1"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        param(["X-Forwarded-For: 10.0.0.1"], None, id="the chain of clients"),
        param(["Content-Length: 0"], None, id="no octets, no body"),
        param(["Content-Length: 3"], Reason.REQUEST_BODY, id="a body"),
        param(["Transfer-Encoding: chunked"], Reason.REQUEST_BODY, id="a body in chunks"),
        param(["x-forwarded-host: evil.test"], Reason.REQUEST_REFLECTED, id="X-Forwarded-Host"),
        param(["X-HTTP-Method-Override: PUT"], Reason.REQUEST_REFLECTED, id="method override"),
        param(["Forwarded: host=evil.test"], Reason.REQUEST_REFLECTED, id="Forwarded"),
    ],
)
def test_what_is_in_no_key(lines: list[str], reason: Reason | None) -> None:
    assert keys.beyond(get(*lines), OPTIONS) is reason


def test_a_host_of_another_authority_is_in_no_key() -> None:
    request = replace(get(), host="b.example")
    assert keys.beyond(request, Options(unkeyed_fields=())) is Reason.REQUEST_OTHER_HOST


def test_unkeyed_fields_are_a_setting() -> None:
    request = req("GET http://a.example/", "X-Mine: 1", "X-Host: b")
    assert keys.beyond(request, Options(unkeyed_fields=())) is None
    assert keys.beyond(request, Options(unkeyed_fields=("X-MINE",))) is Reason.REQUEST_REFLECTED
