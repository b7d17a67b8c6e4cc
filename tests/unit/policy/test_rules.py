"""Which target URIs a rule is for, and which patterns cannot be meant."""

from typing import Any

import pytest

from proxy.policy.rules import LONGEST_SEARCHED, Rule, first
from proxy.semantics.units import Seconds
from tests.support.build import uri

param = pytest.param


@pytest.mark.parametrize(
    ("glob", "target", "applies"),
    [
        param("http://*/**/*.deb", "http://deb.example/pool/m/x_1.deb", True, id="deep"),
        param("http://*/**/*.deb", "http://deb.example/x.deb", True, id="**/ is also no segment"),
        param("http://*/**/*.deb", "http://deb.example/x.deb.asc", False, id="whole path"),
        param("http://*/**/*.deb", "https://deb.example/x.deb", False, id="scheme"),
        param("*://*/x", "https://deb.example/x", True, id="any scheme"),
        param("http://*.example/*", "http://a.b.example/x", True, id="* spans host labels"),
        param("http://*.example/*", "http://a.example/x/y", False, id="* is one path segment"),
        param("http://a.example/**", "http://a.example/x/y", True, id="** spans segments"),
        param("http://a.example/**", "http://a.example/", True, id="** is also nothing"),
        param("http://a.example/**", "http://a.example.test/", False, id="whole host"),
        param("HTTP://A.Example:80/x", "http://a.example/x", True, id="normalised like targets"),
        param("http://a.example/x", "http://a.example:8080/x", False, id="port"),
        param("http://a.example:8080/x", "http://a.example:8080/x", True, id="same port"),
        param("http://a.example/X", "http://a.example/x", False, id="case of the path"),
        param("http://a.example/x", "http://a.example/x?y=1", True, id="any query"),
        param("http://a.example/x?y=*", "http://a.example/x?y=1/2", True, id="query asked for"),
        param("http://a.example/x?y=*", "http://a.example/x", False, id="query lacking"),
        param("http://a.example/x?y=1", "http://a.example/x?y=1&z", False, id="whole query"),
        param("http://a.example/a.b", "http://a.example/aXb", False, id="a dot is a dot"),
        param("http://*/x", "http://a.example/?/x", False, id="host stops at the query"),
    ],
)
def test_globs(glob: str, target: str, applies: bool) -> None:
    assert Rule(match=glob).applies(uri(target)) is applies


def test_a_regular_expression_is_searched_for() -> None:
    rule = Rule(regex=r"\.(deb|rpm)$")
    assert rule.applies(uri("http://a.example/x.rpm"))
    assert not rule.applies(uri("http://a.example/x.rpm?y"))


def test_a_regular_expression_is_searched_for_in_what_is_not_long() -> None:
    rule = Rule(regex="deb$")
    prefix = "http://a.example/"
    for length, applies in ((LONGEST_SEARCHED, True), (LONGEST_SEARCHED + 1, False)):
        path = "x" * (length - len(prefix) - len("deb"))
        assert rule.applies(uri(f"{prefix}{path}deb")) is applies


def test_what_is_too_long_to_be_searched_is_not_stored_where_a_rule_says_so() -> None:
    rules = (Rule(regex="/private/", cache=False), Rule(match="http://a.example/**"))
    target = uri("http://a.example/private/".ljust(LONGEST_SEARCHED, "x"))
    assert first(rules, target) is rules[0]
    assert first(rules, uri(f"{target}x")) is rules[0]
    assert first(rules, uri("http://a.example/other")) is rules[1]


def test_the_first_match_wins() -> None:
    rules = (Rule(match="http://a.example/x"), Rule(match="http://a.example/**"))
    assert first(rules, uri("http://a.example/x")) is rules[0]
    assert first(rules, uri("http://a.example/y")) is rules[1]
    assert first(rules, uri("http://b.example/")) is None
    assert first((), uri("http://b.example/")) is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        param({}, "either match", id="neither"),
        param({"match": "http://a/**", "regex": "a"}, "either match", id="both"),
        param({"match": "*.deb"}, "is not like", id="no scheme"),
        param({"match": "http://a.example"}, "is not like", id="no path"),
        param({"match": "http://a.example/***"}, "match nothing", id="three stars"),
        param({"match": "http://a.example/#x"}, "match nothing", id="fragment"),
        param({"regex": "("}, "not a regular expression", id="regex"),
        param({"match": "http://a/**", "override": True}, "without freshness", id="override"),
        param({"match": "http://a/**", "ignore_query": ("utm=*",)}, "names such", id="a pair"),
        param({"match": "http://a/**", "ignore_query": ("",)}, "names such", id="no name"),
    ],
)
def test_what_cannot_be_meant_is_said(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Rule(**settings)


def test_ignored_query_parameters() -> None:
    rule = Rule(match="http://a.example/**", ignore_query=("utm_*", "a.b"))
    assert rule.ignored("utm_source")
    assert rule.ignored("a.b")
    assert not rule.ignored("aXb")
    assert not rule.ignored("xutm_source")


def test_rules_are_compared_by_their_settings() -> None:
    assert Rule(match="http://a/*", freshness=Seconds(1)) == Rule(
        match="http://a/*", freshness=Seconds(1)
    )
    assert "_pattern" not in repr(Rule(match="http://a/*"))
