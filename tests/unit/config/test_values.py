"""One value, from TOML or from text, to the type of its option."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from proxy.config.values import convert, from_text, show, spell, toml_value
from proxy.semantics.units import Octets, Seconds

param = pytest.param


class Word(StrEnum):
    EXPLICIT = "explicit"
    NEVER = "never"


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        param(3, int, 3, id="int"),
        param(0.5, float, 0.5, id="float"),
        param(1, float, 1.0, id="int as float"),
        param(True, bool, True, id="bool"),
        param("x", str, "x", id="str"),
        param("/x", Path, Path("/x"), id="path"),
        param("~/x", Path, Path.home() / "x", id="path at home"),
        param("90s", Seconds, 90.0, id="duration"),
        param(0, Seconds, 0.0, id="no duration"),
        param("1KiB", Octets, 1024, id="size"),
        param(0, Octets, 0, id="no size"),
        param("never", Word, Word.NEVER, id="enum"),
        param("a", Literal["a", "b"], "a", id="literal"),
        param(["a", "b"], tuple[str, ...], ("a", "b"), id="list"),
        param("a", tuple[str, ...], ("a",), id="list of one without brackets"),
        param([443, 80], tuple[int, ...], (443, 80), id="list of ints"),
        param("7d", Seconds | None, 604800.0, id="optional"),
        param("1KiB", Octets | Seconds, 1024, id="a size or a duration: a size"),
        param("10m", Octets | Seconds, 600.0, id="a size or a duration: a duration"),
        param(0, Octets | Seconds, 0, id="a size or a duration: neither"),
        param(2, int | Literal["auto"], 2, id="the first of two"),
        param("auto", int | Literal["auto"], "auto", id="the second of two"),
    ],
)
def test_convert(value: object, hint: Any, expected: object) -> None:
    converted = convert(value, hint)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        param("3", int, '"3" should be a whole number', id="text for int"),
        param(True, int, "true should be a whole number", id="bool for int"),
        param(True, float, "true should be a number", id="bool for float"),
        param(1, bool, "1 should be true or false", id="int for bool"),
        param(1, str, "1 should be text in quotes", id="int for str"),
        param(1, Path, "1 should be a path in quotes", id="int for path"),
        param(60, Seconds, '60 lacks a unit; did you mean "60s"?', id="duration without unit"),
        param(100, Octets, '100 lacks a unit; did you mean "100B"?', id="size without unit"),
        param("1 week", Seconds, "write for example 30s, 10m, 2h or 7d", id="other duration"),
        param("10GB", Octets, "write for example 64KiB, 512MiB or 10GiB", id="other size"),
        param(True, Seconds, 'should be a duration such as "30s"', id="bool for duration"),
        param([], Octets, 'should be a size such as "512MiB"', id="list for size"),
        param(
            "explict",
            Word,
            '"explict" should be one of "explicit", "never"; did you mean explicit?',
            id="enum misspelt",
        ),
        param(1, Literal["a", "b"], '1 should be one of "a", "b"', id="literal of another type"),
        param([1], tuple[str, ...], "1 should be text in quotes", id="member of another type"),
        param("~no-such-user/x", Path, "home folder that is not known", id="nobody's home"),
        param({"a": 1}, int, "should be a whole number", id="table for int"),
        param(60, Seconds | None, "60 lacks a unit", id="optional, for what it is"),
        param(
            "aut",
            int | Literal["auto"],
            '"aut" should be a whole number, or one of "auto"; did you mean auto?',
            id="neither of two",
        ),
        param(
            "10MB",
            Octets | Seconds,
            "'10MB' is not a size: write for example 64KiB, 512MiB or 10GiB, or a duration: write"
            " for example 30s, 10m, 2h or 7d",
            id="neither a size nor a duration",
        ),
        param(
            10,
            Octets | Seconds,
            '10 lacks a unit; did you mean "10B", or "10s"?',
            id="a size or a duration without unit",
        ),
        param(
            True,
            Octets | Seconds,
            'true should be a size such as "512MiB", or a duration such as "30s"',
            id="bool for a size or a duration",
        ),
    ],
)
def test_what_was_expected(value: object, hint: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        convert(value, hint)


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        param("3", int, 3, id="int"),
        param("0.5", float, 0.5, id="float"),
        param("true", bool, True, id="bool"),
        param("10m", Seconds, 600.0, id="duration"),
        param("0", Octets, 0, id="no size"),
        param("a b", str, "a b", id="str"),
        param("[x]", str, "[x]", id="str that looks like a list"),
        param("never", Word, Word.NEVER, id="enum"),
        param("a, b ,", tuple[str, ...], ("a", "b"), id="commas"),
        param('["a,b", "c"]', tuple[str, ...], ("a,b", "c"), id="TOML array"),
        param("443,80", tuple[int, ...], (443, 80), id="ints with commas"),
        param("443,1-9,any", tuple[int | str, ...], (443, "1-9", "any"), id="ints and words"),
        param('[443, "1-9"]', tuple[int | str, ...], (443, "1-9"), id="both as TOML array"),
        param("[443, 80]", tuple[int, ...], (443, 80), id="ints as TOML array"),
        param("[::1]:3128", tuple[str, ...], ("[::1]:3128",), id="an IPv6 listener is no array"),
        param("[::1]:1,127.0.0.1:1", tuple[str, ...], ("[::1]:1", "127.0.0.1:1"), id="two such"),
        param("", tuple[str, ...], (), id="empty list"),
        param("2", int | Literal["auto"], 2, id="the first of two"),
        param("auto", int | Literal["auto"], "auto", id="the second of two"),
    ],
)
def test_from_text(text: str, hint: Any, expected: object) -> None:
    assert from_text(text, hint) == expected


@pytest.mark.parametrize(
    ("text", "hint", "said"),
    [
        param("yes", bool, '"yes" should be true or false', id="bool"),
        param("many", int, '"many" should be a whole number', id="int"),
        param("443,http", tuple[int, ...], '"http" should be a whole number', id="member"),
        param('["a"', tuple[str, ...], "is not a value in TOML", id="array without end"),
    ],
)
def test_bad_text(text: str, hint: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        from_text(text, hint)


def test_a_value_in_toml() -> None:
    assert toml_value('[{ a = "b" }]') == [{"a": "b"}]
    with pytest.raises(ValueError, match="is not a value in TOML"):
        toml_value("1\nb = 2\n[")


@pytest.mark.parametrize(
    ("value", "hint", "text"),
    [
        param(90.0, Seconds, '"90s"', id="duration"),
        param(2**30, Octets, '"1GiB"', id="size"),
        param(Path("/x"), Path, '"/x"', id="path"),
        param(True, bool, "true", id="bool"),
        param(("a", 'b"'), tuple[str, ...], '["a", "b\\""]', id="list"),
        param(4 * 2**20, Octets | Seconds, '"4MiB"', id="a size or a duration: a size"),
        param(600.0, Octets | Seconds, '"10m"', id="a size or a duration: a duration"),
    ],
)
def test_spelling(value: object, hint: Any, text: str) -> None:
    assert spell(value, hint) == text
    assert convert(toml_value(text), hint) == value


def test_show_takes_whatever_toml_has() -> None:
    assert show(toml_value("2026-01-02")) == '"2026-01-02"'
