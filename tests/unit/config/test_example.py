"""config.example.toml lists every option, each with a sentence, each at its default."""

import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.document import parse
from proxy.config.settings import keys
from proxy.policy.rules import Rule

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
TEXT = EXAMPLE.read_text()
KEY_LINE = re.compile(r"([a-z_]+) = ")


def dotted(table: dict[str, object], path: str = "") -> set[str]:
    found = set()
    for name, value in table.items():
        if isinstance(value, dict):
            found |= dotted(value, f"{path}{name}.")
        else:
            found.add(path + name)
    return found


def rule_lines() -> list[str]:
    lines = TEXT.splitlines()
    return [line.removeprefix("# ") for line in lines[lines.index("# [[rules]]") :]]


def test_it_lists_every_option() -> None:
    assert dotted(parse(TEXT, "example").values) == set(keys())


def test_every_option_is_at_its_default() -> None:
    settings, defaults = load(EXAMPLE, {}), load(Path("/dev/null"), {})
    assert settings.given == ()
    for part in ("server", "cache", "store", "exchange", "upstream", "access", "log"):
        assert getattr(settings, part) == getattr(defaults, part)


@pytest.mark.parametrize("lines", [TEXT.splitlines(), rule_lines()], ids=["options", "rule"])
def test_every_option_has_a_sentence(lines: list[str]) -> None:
    described = 0
    for before, line in pairwise(lines):
        if KEY_LINE.match(line):
            described += 1
            assert before.startswith("# "), line
            assert before.endswith("."), line
    assert described >= 7


def test_the_rule_has_every_verb_and_loads(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("\n".join(rule_lines()))
    (rule,) = load(file, {}).cache.rules
    assert rule.where == "config.toml:1"
    named = {match[1] for line in rule_lines() if (match := KEY_LINE.match(line))}
    assert named == {each.name for each in fields(Rule)} - {"where", "regex"}
