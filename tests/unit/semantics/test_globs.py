"""Globs: what stands for what, and that it is what a pattern with the same meaning finds."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.semantics import globs
from proxy.semantics.globs import Glob

param = pytest.param


@pytest.mark.parametrize(
    ("glob", "text", "matches"),
    [
        param("", "", True, id="nothing"),
        param("", "a", False, id="nothing is not something"),
        param("abc", "abc", True, id="itself"),
        param("a.c", "abc", False, id="a dot is a dot"),
        param("*", "", True, id="a star is also nothing"),
        param("*", "a/b", False, id="a star stays within"),
        param("*.deb", "x.deb.asc", False, id="the whole text"),
        param("a*b", "ab", True, id="a star between"),
        param("a*a", "a", False, id="one character is not two"),
        param("aa*aa", "aaa", False, id="ends that overlap"),
        param("**", "a/b", True, id="two stars go across"),
        param("**", "a?b", False, id="but not everywhere"),
        param("a/**/b", "a/b", True, id="**/ is also nothing"),
        param("a/**/b", "a/x/y/b", True, id="**/ is also much"),
        param("a/**/b", "a/xb", False, id="**/ ends with its slash"),
        param("a/**/**/b", "a/x/b", True, id="twice is once"),
        param("**/", "", True, id="**/ alone"),
        param("**/", "a", False, id="**/ alone, without a slash"),
        param("**/*.deb", "x/y.deb", True, id="**/ then *"),
        param("**/*.deb", "y.deb", True, id="**/ as nothing, then *"),
        param("a**b*c", "a/bb/bc", True, id="the later of two"),
        param("a**b*c", "a/b/c", False, id="no slash within the last"),
    ],
)
def test_what_stands_for_what(glob: str, text: str, matches: bool) -> None:
    assert Glob(glob, "/?", "?").matches(text) is matches


@pytest.mark.parametrize(
    ("glob", "text", "matches"),
    [
        param("utm_*", "utm_a/b", True, id="anything"),
        param("utm_*", "utm", False, id="its beginning"),
        param("a**/b", "a/b", True, id="a row of stars is one"),
        param("a**/b", "ab", False, id="and a slash is a slash"),
    ],
)
def test_without_across(glob: str, text: str, matches: bool) -> None:
    assert Glob(glob).matches(text) is matches


def pattern(glob: str) -> re.Pattern[str]:
    """The same as a regular expression, which takes its time."""
    meant = {"*": "[^/?]*", "**": "[^?]*", "**/": "(?:[^?]*/)?"}
    parts = re.split(r"(\*\*/|\*\*|\*)", glob)
    return re.compile("".join(meant.get(part) or re.escape(part) for part in parts), re.DOTALL)


GLOBS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "ab", "."]), max_size=8)
TEXTS = st.text("ab/?.\n", max_size=12)


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(GLOBS.map("".join), TEXTS)
@example("**/*", "")
@example("a**/b*", "a/bb")
def test_it_is_what_a_pattern_finds(glob: str, text: str) -> None:
    if "***" not in glob:
        assert Glob(glob, "/?", "?").matches(text) is bool(pattern(glob).fullmatch(text))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["a", "*", "/"]), max_size=8).map("".join), TEXTS)
def test_one_kind_of_star(glob: str, text: str) -> None:
    same = ".*".join(map(re.escape, re.split(r"\*+", glob)))
    assert Glob(glob).matches(text) is bool(re.fullmatch(same, text, re.DOTALL))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "MOST", 8)
    glob = Glob("a*b*c*d", "/")
    texts = ["a" + "bcd" * n + chr(256 + n) + "abcd" for n in range(20)]
    assert all(glob.matches(text) for text in texts)
    assert not any(glob.matches(text + "/") for text in texts)
    seen, known = 0, list(glob._known.values())
    seen = sum(map(len, known))
    assert seen <= 9


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        param("**a**a**a**b", "a" * 4000, id="three stars and more"),
        param("*a*a*a*a*a*b", "a" * 4000, id="within one part"),
        param("**/a**/a**/a", "/a" * 2000 + "b", id="slashes"),
        param("**a*/b", "a" * 2000 + "/", id="both kinds"),
        param("**" + "a*" * 1000 + "b", "a" * 4000, id="a thousand stars"),
    ],
)
def test_none_takes_long(glob: str, text: str) -> None:
    made = Glob(glob, "/?", "?")
    began = time.thread_time()
    assert not made.matches(text)
    assert time.thread_time() - began < 0.5
