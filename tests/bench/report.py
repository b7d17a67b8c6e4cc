"""Results: Markdown to read and to paste, JSON to compute with."""

from __future__ import annotations

import os
import platform
import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

_MODEL: Final = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """``text`` is Markdown, ``figures`` all that was measured."""

    text: str
    figures: Mapping[str, Any]


def surroundings(versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What any figure depends on; ``versions`` are those of others."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            platform.python_implementation(): platform.python_version(),
            "forecache": proxy.__version__,
            **(versions or {}),
        },
    }


def caption(around: Mapping[str, Any], how: str) -> str:
    """A paragraph to stand before a table."""
    versions = ", ".join(f"{name} {version}" for name, version in around["versions"].items())
    return f"{around['date']}; {versions}; {around['machine']}. {how}\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def number(value: float) -> str:
    """Three digits that mean something, thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _processor() -> str:
    found = _MODEL.search(Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """For an option that takes some of these, separated by commas; empty: none."""

    def names(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        if unknown := [name for name in chosen if name not in known]:
            raise ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return chosen

    return names
