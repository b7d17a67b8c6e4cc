"""What the commands print: tables for a person, JSON for a program.

Stored URLs and fields are other people's words: control characters and what turns the direction
of text around are shown as escapes, and nothing in them is markup.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import JustifyMethod

_WIDE: Final = 100_000  # columns
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")

# A file or a pipe has no width.
console: Final = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE
)


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Gives what takes how much is done, of how much, and perhaps of what, for a person to see."""
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=quiet or not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, of: int, step: str = "") -> None:
            bar.update(task, completed=done, total=of or None, description=step or what)

        yield advance


def safe(text: object) -> str:
    """Text that does nothing to a terminal."""
    said = str(text)
    if said.isprintable():
        return said
    # Not printable: controls, what turns the direction around or is not seen, half characters.
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in said)


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
    text = json.dumps(value, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f")
    console.print(text, markup=False)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """For a person; columns whose heads begin with ``>`` are numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        way: JustifyMethod = "right" if name[:1] == ">" else "left"
        made.add_column(name.removeprefix(">"), justify=way, overflow="fold")
    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    console.print(made)


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values."""
    made = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        made.add_row(Text(safe(name), style="bold"), Text(safe(value)))
    console.print(made)


def clauses(explained: dict[str, Any]) -> None:
    """What would happen, and why, clause by clause."""
    marks = {"yes": "[green]✓[/]", "no": "[red]✗[/]", "info": "·"}
    sentence = Text(f"  {safe(explained['sentence'])}")
    console.print(Text(safe(explained["reason"]), style="bold").append_text(sentence))
    for clause in explained["clauses"]:
        console.print(
            marks.get(clause["verdict"], "·"),
            Text(safe(clause["text"])),
            Text(safe(clause["section"]), style="dim"),
        )
    if last := explained.get("last"):
        said = f"Last asked for {since(last['start'])}: {last['status']}, {last['reason']}."
        console.print(Text(safe(said)))
