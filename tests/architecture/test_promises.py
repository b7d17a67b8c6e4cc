"""Each promise has its tests."""

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PROMISES = tomllib.loads((TESTS / "promises.toml").read_text())["promise"]


@cache
def functions(file: str) -> frozenset[str]:
    """The tests and state machines that pytest collects from a file."""
    tree = ast.parse((TESTS / file).read_text())
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in ast.walk(tree) if isinstance(node, defined)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_they_are_numbered_in_their_order() -> None:
    assert [promise["number"] for promise in PROMISES] == list(range(1, len(PROMISES) + 1))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: str(promise["number"]))
def test_each_is_held_by_tests_that_exist(promise: dict[str, object]) -> None:
    sentence, tests = promise["sentence"], promise["tests"]
    assert isinstance(sentence, str)
    assert sentence.endswith(".")
    assert isinstance(tests, list)
    # A promise that is not kept yet says why, and one that is kept does not.
    assert bool(tests) != bool(promise.get("until"))
    assert len(set(tests)) == len(tests)
    for test in tests:
        file, _, name = test.partition("::")
        assert (TESTS / file).exists(), test
        assert name.lower().startswith("test"), test
        assert name in functions(file), test
