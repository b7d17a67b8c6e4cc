"""What the commands print does nothing to a terminal, whatever is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.cli import shown
from tests.support.admin_stub import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = [
    *HOSTILE,
    "\x1b]0;title\x07\x1b]8;;http://evil.example/\x07link\x1b]8;;\x07",
    "\x9b31m\x90q\x9c\x7f\x00",
    "[bold]not bold[/bold][/no such tag][link=http://evil.example/]x",
    "\u061c\u2066\u2069\u200d\u2028\u2029",
]


def printed(show: Callable[[], None]) -> str:
    with shown.console.capture() as captured:
        show()
    return captured.get()


def rows(text: str) -> str:
    """Without the ends of lines, which are ours; they count."""
    return text.replace("\n", "")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda text: shown.table(("a", ">b"), [(text, text)]), id="table"),
        pytest.param(lambda text: shown.pairs([("a", text), (text, 1)]), id="pairs"),
        pytest.param(
            lambda text: shown.clauses(
                {
                    "reason": text,
                    "sentence": text,
                    "clauses": [{"name": "a", "section": text, "verdict": text, "text": text}],
                }
            ),
            id="clauses",
        ),
        pytest.param(lambda text: shown.as_json({text: text}), id="json"),
    ],
)
def test_hostile_texts(show: Callable[[str], None], text: str) -> None:
    said = printed(lambda: show(text))
    assert rows(said).isprintable()
    assert said.count("\n") <= 4
    said.encode()
    if "[bold]" in text:
        assert "[bold]not bold[/bold]" in said, "it is no markup"


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_json_says_the_same(text: str) -> None:
    assert json.loads(printed(lambda: shown.as_json([text]))) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("http://a.example/ä?b=[1]", "http://a.example/ä?b=[1]", id="as it is"),
        pytest.param("a\x1b[2Jb", r"a\x1b[2Jb", id="C0"),
        pytest.param("a\x9bb", r"a\x9bb", id="C1"),
        pytest.param("a\u202eb", r"a\x202eb", id="direction"),
        pytest.param("a\ud800b", r"a\xd800b", id="half a character"),
        pytest.param(7, "7", id="a number"),
    ],
)
def test_safe(text: Any, expected: str) -> None:
    assert shown.safe(text) == expected
