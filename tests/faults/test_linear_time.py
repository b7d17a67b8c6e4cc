"""No input costs more than linear time: each pattern, and each loop over what others send."""

from __future__ import annotations

import ast
import importlib
import re
from functools import partial
from itertools import product, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.support.growing import MOST, grows, took

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.growing import Step

pytestmark = pytest.mark.slow

PROXY: Final = Path(__file__).parents[2] / "proxy"
MODULES: Final = {
    ".".join(file.relative_to(PROXY.parent).with_suffix("").parts): file
    for file in sorted(PROXY.rglob("*.py"))
    if file.name != "__main__.py"
}
METHODS: Final = ("fullmatch", "match", "search", "finditer", "findall", "sub", "split")

# Patterns that are made or used elsewhere than in a line of their module, and what holds them.
ELSEWHERE: Final = {
    "proxy.policy.keys:_list_of": "the grammars, as test_grammars",
    "proxy.policy.rules:__post_init__": "ignore_query, of a person's own",
    "proxy.policy.rules:__init__": "a person's own regex, in 2 KiB at most",
    "proxy.semantics.targets:_objection": "a set of characters",
    "proxy.store.catalogue_queries:filters": "a set of characters",
    "proxy.config.regexes:takes_long": "a person's own regex",
}
# Of what no client and no origin has a hand in, or only after another one.
OWN: Final = frozenset(
    {
        "proxy.wire.heads:_PROPER_LINE",  # only of lines that were found to be some
        "proxy.config.document",
        "proxy.config.values",
        "proxy.config.checks",
    }
)

UNITS: Final = (
    *("a", "0", " ", ",", ";", "=", ":", "/", ".", "-", "*", "?", '"', "\\", "[", "\r\n", "\xe9"),
    *(", ", "a,", " ,", "; a", ";a=b", "; q=0,", 'a="b",', '"a",', '\\"', "a.", "0-0,", "a:b@"),
    *("a: b\r\n", "//a@", "&a=", "signature", "-cache-control", "filename=", "a/b;c=d,", ";a"),
)
BEFORE: Final = (
    *("", '"', "a", "a=", "0", "http://a/", "http://", "bytes=", "bytes 0-", "W/", "x-amz-meta-"),
    *('filename="', "HTTP/1.1 200 ", "GET ", "A:", "max-age=", "a/b;", "?x-amz-"),
)
AFTER: Final = ("", "\x01")


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """By ``module:NAME`` each that a module has."""
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{name}:{attribute}", value


def uses(key: str) -> set[str]:
    """The methods of a pattern that its own module and those that import it name."""
    own, _, name = key.partition(":")
    found = set()
    for module, file in MODULES.items():
        text = file.read_text()
        if module != own and not re.search(
            rf"^from {own} import [^)]*\b{name}\b", text, re.MULTILINE
        ):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found |= {node.attr} if node.value.id == name else set()
    return found.intersection(METHODS)


def unnamed() -> Iterator[str]:
    """Where a pattern is searched for, or all its places, by another name than its own."""
    for module, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in METHODS[2:5]:
                name = ast.unparse(node.value)
                if f"{module}:{name}" not in KNOWN and name != "re":
                    yield f"{module}:{name}"


def calls() -> Iterator[str]:
    """Where a function of ``re`` is called, as ``module:function``; "" for a module's own line."""
    for name, file in MODULES.items():
        tree = ast.parse(file.read_text())
        inside = {
            node: function.name
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name | ast.Attribute)
                and ast.unparse(node.func.value) in {"re", "re._parser"}
                and node.func.attr != "escape"
            ):
                yield f"{name}:{inside.get(node, '')}"


KNOWN: Final = dict(patterns())
HOSTILE: Final = [key for key in KNOWN if not {key, key.partition(":")[0]} & OWN]


def test_each_use_of_re_is_in_the_table() -> None:
    assert {call for call in calls() if not call.endswith(":")} == set(ELSEWHERE)


def test_patterns_that_are_handed_on_are_matched_from_where_they_are_told() -> None:
    """Of those the methods are not seen: it is taken for ``match`` and ``fullmatch``."""
    assert set(unnamed()) == {"proxy.policy.rules:self._pattern"}


def test_nothing_is_in_the_table_that_is_not_there() -> None:
    assert {key for key in OWN if ":" in key} <= KNOWN.keys()
    assert {key for key in OWN if ":" not in key} <= MODULES.keys()


class Hostile(NamedTuple):
    """``unit`` again and again between two ends, for one use of a pattern."""

    method: str
    before: str
    unit: str
    after: str

    def step(self, pattern: Any, size: int) -> Step:
        """``pattern`` is of str or of bytes."""
        text: Any = self.before + self.unit * (size // len(self.unit)) + self.after
        if isinstance(pattern.pattern, bytes):
            text = text.encode("latin-1")
        method = getattr(pattern, self.method)
        if self.method == "sub":
            return partial(method, b"" if isinstance(text, bytes) else "", text)
        return lambda: list(method(text)) if self.method == "finditer" else method(text)


def check(pattern: Any, methods: set[str]) -> None:
    """What takes long already for little takes no more than twice as long for twice as much."""
    for row in starmap(Hostile, product(sorted(methods), BEFORE, UNITS, AFTER)):
        for size, limit in ((16, 1e-4), (2048, 5e-4)):
            step = row.step(pattern, size)
            if took(step, 1) > limit and took(step) > limit:
                assert grows(partial(row.step, pattern), size) < MOST, row


@pytest.mark.parametrize("key", HOSTILE)
def test_each_pattern(key: str) -> None:
    check(KNOWN[key], uses(key) or set(METHODS[:2]))


def test_what_is_not_linear_is_seen() -> None:
    with pytest.raises(AssertionError, match="search"):
        check(re.compile("a*b"), {"search"})


def test_grammars() -> None:
    from proxy.policy.keys import _GRAMMARS  # noqa: PLC0415

    for pattern in _GRAMMARS.values():
        check(pattern, {"fullmatch"})
