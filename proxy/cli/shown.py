"""What the commands print: tables for a person, JSON for a program.

Stored URLs and fields are other people's words: control characters and what turns the direction
of text around are shown as escapes, and nothing in them is markup.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# C0 and C1 controls, DEL; marks and overrides of direction; separators of lines.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")

console: Final = Console(highlight=False, soft_wrap=True)


def safe(text: object) -> str:
    """Text that does nothing to a terminal."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text))


def size(octets: float) -> str:
    """About so much: ``3.2 MiB``."""
    for unit in _UNITS:
        if octets < 1024 or unit == _UNITS[-1]:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    raise AssertionError("the last unit takes everything")


def span(seconds: float) -> str:
    """About so long: ``3 m``, ``2.5 h``; with a minus for what has passed."""
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    for limit, unit, length in ((90, "s", 1), (5400, "m", 60), (129_600, "h", 3600)):
        if left < limit:
            return f"{sign}{left / length:.0f} {unit}"
    return f"{sign}{left / 86400:.1f} d"


def since(moment: float) -> str:
    """How long ago, "" for never."""
    return f"{span(time.time() - moment)} ago" if moment else ""


def as_json(value: object) -> None:
    """For a program."""
    console.print(json.dumps(value, indent=2, ensure_ascii=True), markup=False)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """For a person; columns whose heads begin with ``>`` are numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        made.add_column(name.removeprefix(">"), justify="right" if name[:1] == ">" else "left")
    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    console.print(made)


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values."""
    made = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        made.add_row(Text(name, style="bold"), Text(safe(value)))
    console.print(made)


def clauses(explained: dict[str, Any]) -> None:
    """What would happen, and why, clause by clause."""
    marks = {"yes": "[green]✓[/]", "no": "[red]✗[/]", "info": "·"}
    console.print(f"[bold]{safe(explained['reason'])}[/]  {safe(explained['sentence'])}")
    for clause in explained["clauses"]:
        console.print(
            marks.get(clause["verdict"], "·"),
            Text(safe(clause["text"])),
            Text(safe(clause["section"]), style="dim"),
        )
