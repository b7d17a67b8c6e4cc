"""One value from TOML, a variable or a flag, to the type that an option has."""

from __future__ import annotations

import json
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

from proxy.config.problems import did_you_mean
from proxy.semantics.units import (
    Octets,
    Seconds,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What comes before the words for what was expected.
_WRONG: Final = re.compile(r".*? (?:should be|is not|did you mean) ")
_EXPECTED: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    Path: "a path in quotes",
}


def show(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def spell(value: object, hint: Any) -> str:
    """An option's value as a person would write it in TOML."""
    kinds = get_args(hint) or (hint,)
    if Octets in kinds and isinstance(value, int):
        return show(format_size(value))
    if Seconds in kinds and isinstance(value, int | float):
        return show(format_duration(value))
    return show(value)


def convert(value: object, hint: Any) -> Any:
    """A TOML value as the type that the option has. Raises ValueError: what was expected."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _either(value, get_args(hint), convert)
    if origin is tuple:
        # A list of one may be written without its brackets.
        members = value if isinstance(value, list) else [value]
        return tuple(convert(member, get_args(hint)[0]) for member in members)
    if origin is Literal:
        return _one_of(value, get_args(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(_one_of(value, tuple(member.value for member in hint)))
    if hint is Seconds or hint is Octets:
        return _quantity(value, hint)
    return _plain(value, hint)


def from_text(text: str, hint: Any) -> Any:
    """The same for a variable or flag: no quotes, lists as TOML arrays or with commas."""
    origin = get_origin(hint)
    if origin is tuple:
        return convert(_members(text, get_args(hint)[0]), hint)
    if origin in (Union, UnionType):
        return _either(text, get_args(hint), from_text)
    if hint in (int, float, bool):
        return convert(_scalar(text), hint)
    return convert(text, hint)


def toml_value(text: str) -> Any:
    """A value in TOML's spelling. Raises ValueError."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{text!r} is not a value in TOML: {error}") from None


def _members(text: str, hint: Any) -> list[Any]:
    numbers = int in (hint, *get_args(hint))
    # [::1]:3128 begins like an array, too; arrays of text have quotes.
    if text.startswith("[") and (numbers or '"' in text or "'" in text):
        members: list[Any] = toml_value(text)
        return members
    members = [part.strip() for part in text.split(",") if part.strip()]
    return [_scalar(member) for member in members] if numbers else members


def _scalar(text: str) -> object:
    try:
        return toml_value(text.strip())
    except ValueError:
        return text


def _either(value: Any, hints: tuple[Any, ...], to: Callable[[Any, Any], Any]) -> Any:
    """As the first of these types that takes it. Raises ValueError: what was expected."""
    wrong = []
    for hint in hints:
        if hint is not NoneType:
            try:
                return to(value, hint)
            except ValueError as error:
                wrong.append(str(error))
    first, *further = wrong
    expected = [first.removesuffix("?") if further else first]
    raise ValueError(", or ".join([*expected, *(_WRONG.sub("", each, 1) for each in further)]))


def _one_of(value: object, words: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in words:
        return value
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    raise ValueError(f"{show(value)} should be one of {', '.join(map(show, words))}{hint}")


def _quantity(value: object, hint: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value:
            unit = "s" if hint is Seconds else "B"
            raise ValueError(f"{value} lacks a unit; did you mean {show(f'{value}{unit}')}?")
        value = "0"
    if isinstance(value, str):
        return parse_duration(value) if hint is Seconds else parse_size(value)
    kind = 'a duration such as "30s"' if hint is Seconds else 'a size such as "512MiB"'
    raise ValueError(f"{show(value)} should be {kind}")


def _plain(value: object, hint: Any) -> Any:
    if hint is Path and isinstance(value, str):
        return _path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is not bool and isinstance(value, bool)):
        return value
    raise ValueError(f"{show(value)} should be {_EXPECTED[hint]}")


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{show(text)} begins with a home folder that is not known") from None
