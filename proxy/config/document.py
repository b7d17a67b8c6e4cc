"""A TOML file with the line of each of its keys, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.config.problems import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Place = tuple[str | int, ...]

# What may hide or hold a line break or bracket: strings, comments; and those themselves.
_PIECE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\])*"|' + r"'[^']*'|"
    r"\#[^\n]*|[\[{]|[\]}]|\n",
    re.DOTALL,
)
_KEY: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^="'])+""")
_DECODE_ERROR: Final = re.compile(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Document:
    """``lines``: (table, ..., key) or (array of tables, index) -> line, from 1."""

    name: str
    values: dict[str, Any]
    lines: dict[Place, int]

    def where(self, *place: str | int) -> str:
        """``name:line`` of the place, or of the closest thing around it that has a line."""
        for end in range(len(place), 0, -1):
            if line := self.lines.get(place[:end]):
                return f"{self.name}:{line}"
        return self.name


def read(path: Path) -> Document:
    """Raises ConfigError if it cannot be read or is not TOML."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError([Problem(str(path), "", f"cannot be read: {reason}")]) from None
    return parse(text, path.name)


def parse(text: str, name: str) -> Document:
    """Raises ConfigError with the line if it is not TOML."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from None
    return Document(name, values, dict(_lines(text)))


def _syntax_problem(error: tomllib.TOMLDecodeError, text: str, name: str) -> Problem:
    message, line = str(error), ""
    if match := _DECODE_ERROR.fullmatch(message):
        message, line = match[1], match[2] or str(text.count("\n") + 1)
    return Problem(f"{name}:{line}" if line else name, "", f"this is not TOML: {message}")


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement (or blank or comment line) of a valid document with its first line."""
    depth = start = 0
    line = 1
    for match in _PIECE.finditer(text + "\n"):
        piece = match[0]
        if piece in "[{":
            depth += 1
        elif piece in "]}":
            depth -= 1
        elif piece == "\n" and not depth:
            statement = text[start : match.start()]
            yield line, statement.strip()
            line += statement.count("\n") + 1
            start = match.end()


def _path(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, however they are quoted."""
    parts: list[str] = []
    table: object = tomllib.loads(f"{key} = 0")
    while isinstance(table, dict):
        name, table = next(iter(table.items()))
        parts.append(name)
    return tuple(parts)


def _lines(text: str) -> Iterator[tuple[Place, int]]:
    table: Place = ()
    tables: dict[Place, int] = {}
    for line, statement in _statements(text):
        if not statement or statement.startswith("#"):
            continue
        if statement.startswith("[["):
            array = _path(statement[2:].partition("]]")[0])
            table = (*array, tables.get(array, 0))
            tables[array] = tables.get(array, 0) + 1
            yield table, line
        elif statement.startswith("["):
            table = _path(statement[1:].rpartition("]")[0])
            yield table, line
        elif match := _KEY.match(statement):
            yield (*table, *_path(match[0])), line
