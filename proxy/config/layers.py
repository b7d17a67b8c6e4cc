"""Defaults < file < environment < flags: one ``Settings``, or everything that is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.config import checks
from proxy.config.document import Document, read
from proxy.config.problems import ConfigError, Problem, did_you_mean
from proxy.config.settings import (
    RULES,
    TABLES,
    Given,
    Key,
    Settings,
    build,
    hints,
    keys,
)
from proxy.config.values import convert, from_text, show, spell, toml_value
from proxy.policy.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PREFIX: Final = "FORECACHE_"
FLAGS: Final = {
    "--listen": "server.listen",
    "--cache-dir": "cache.dir",
    "--max-size": "cache.max_size",
    "--workers": "server.workers",
}
SYSTEM_FILE: Final = Path("/etc/forecache/config.toml")


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str | Sequence[str]] | None = None,
) -> Settings:
    """Settings from a file (else the first of ``candidates``), variables, and ``FLAGS`` by name.

    Raises ConfigError with all problems.
    """
    environ = os.environ if environ is None else environ
    path = file or next((each for each in candidates(environ) if each.is_file()), None)
    gathering = _Gathering()
    if path:
        gathering.document(read(path))
    gathering.environment(environ)
    for flag, value in (flags or {}).items():
        gathering.text(flag, keys()[FLAGS[flag]], value if isinstance(value, str) else [*value])
    return gathering.settings(path)


def candidates(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a configuration file is looked for when none is named."""
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    # Without either of the two, as in some containers, there is no place of one's own.
    own = (Path(home) / "forecache" / "config.toml",) if home != "/.config" else ()
    return *own, SYSTEM_FILE


def variable(key: str) -> str:
    """The variable that sets a key: ``cache.max_size`` -> ``FORECACHE_CACHE__MAX_SIZE``."""
    return PREFIX + key.upper().replace(".", "__")


@dataclass
class _Gathering:
    """What was said so far; a later word replaces an earlier one."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def put(self, where: str, key: str, converted: Callable[[], Any]) -> None:
        """Set a key; ``converted`` gives its value or raises ValueError."""
        self.places[key] = where
        try:
            self.values[key] = converted()
        except ValueError as error:
            self.problems.append(Problem(where, key, str(error)))

    def document(self, document: Document) -> None:
        self._table(document, (), document.values)

    def _table(self, document: Document, path: tuple[str, ...], table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            place = (*path, name)
            dotted, where = ".".join(place), document.where(*place)
            if dotted == RULES:
                self.put(where, RULES, partial(self._rules, value, document.where))
            elif dotted in _tables():
                if isinstance(value, dict):
                    self._table(document, place, value)
                else:
                    self._wrong(where, dotted, f"is a table: write [{dotted}]")
            elif key := keys().get(dotted):
                self._value(where, key, value)
            else:
                self._wrong(where, dotted, _unknown(path, name))

    def _wrong(self, where: str, key: str, text: str) -> None:
        self.problems.append(Problem(where, key, text))

    def _value(self, where: str, key: Key, value: object) -> None:
        if key.hint is Path and value == "":
            self.values.pop(key.name, None)
            return
        self.put(where, key.name, lambda: convert(value, key.hint))

    def text(self, where: str, key: Key, text: str | list[str]) -> None:
        """A value from a variable or a flag; a repeated flag is a list."""
        if isinstance(text, list):
            self.put(where, key.name, lambda: convert(text, key.hint))
        elif key.hint is Path and not text:
            self.values.pop(key.name, None)
        else:
            self.put(where, key.name, lambda: from_text(text, key.hint))

    def environment(self, environ: Mapping[str, str]) -> None:
        known = {variable(name): key for name, key in keys().items()}
        for name, text in environ.items():
            if key := known.get(name):
                self.text(name, key, text)
            elif name == variable(RULES):
                self.put(
                    name,
                    RULES,
                    lambda: self._rules(toml_value(environ[variable(RULES)]), _numbered),
                )
            elif name.startswith(PREFIX):
                self._unknown_variable(name, known)

    def _unknown_variable(self, name: str, known: Mapping[str, Key]) -> None:
        single = {each.replace("__", "_"): each for each in known}
        if "__" in name:
            self._wrong(name, "", f"no such key{did_you_mean(name, known)}")
        elif meant := single.get(name):
            self._wrong(name, "", f"no such key; did you mean {meant}?")
        # Others are not ours: Kubernetes sets FORECACHE_PORT and more for a service of that name.

    def _rules(self, value: object, where: Callable[..., str]) -> tuple[Rule, ...]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ValueError("should be tables: write each rule under [[rules]]")
        built = [self._rule(where, index, table) for index, table in enumerate(value)]
        return tuple(rule for rule in built if rule)

    def _rule(self, where: Callable[..., str], index: int, table: Mapping[str, Any]) -> Rule | None:
        types = {name: hint for name, hint in hints(Rule).items() if name != "where"}
        known, arguments = len(self.problems), {}
        for name, value in table.items():
            place, dotted = where(RULES, index, name), f"{RULES}[{index + 1}].{name}"
            if not (hint := types.get(name)):
                self._wrong(place, dotted, f"no such key{did_you_mean(name, types)}")
                continue
            try:
                arguments[name] = convert(value, hint)
            except ValueError as error:
                self._wrong(place, dotted, str(error))
        if len(self.problems) > known:
            return None
        try:
            return Rule(**arguments, where=where(RULES, index))
        except ValueError as error:
            self._wrong(where(RULES, index), f"{RULES}[{index + 1}]", str(error))
            return None

    def settings(self, file: Path | None) -> Settings:
        """Built and checked. Raises ConfigError with everything wrong so far, and now."""
        parts: dict[str, Any] = {}
        for name, (table, options) in TABLES.items():
            try:
                parts[name] = build(table, options, self.values)
            except ValueError as error:
                self._blame(table, str(error))
        if len(parts) == len(TABLES):
            settings = Settings(**parts, file=file, given=tuple(self._given()))
            for key, text in checks.wrong(settings, frozenset(self.places)):
                self._wrong(self.places.get(key, "default"), key, text)
            if not self.problems:
                return settings
        raise ConfigError(self.problems)

    def _blame(self, table: str, text: str) -> None:
        """Name the key that the sentence of an Options begins with."""
        key = f"{table}.{text.partition(' ')[0]}"
        self._wrong(self.places.get(key, ""), key if key in keys() else table, text)

    def _given(self) -> Iterable[Given]:
        for name, key in keys().items():
            if name in self.places and (value := self.values.get(name, key.default)) != key.default:
                yield Given(
                    name, checks.presentable(name, spell(value, key.hint)), self.places[name]
                )
        for rule in self.values.get(RULES, ()):
            yield Given(RULES, show(rule.match or rule.regex), rule.where)


def _numbered(_array: str, index: int, *_key: str) -> str:
    """Where a rule is that came in a variable."""
    return f"{variable(RULES)}:{index + 1}"


def _tables() -> set[str]:
    """Every table of the contract, dotted."""
    return {name.rpartition(".")[0] for name in keys()}


def _unknown(path: tuple[str, ...], name: str) -> str:
    """What to say about a key that is not there: a likely name here, or its true table."""
    table = ".".join(path)
    here = {
        key[len(table) :].lstrip(".").partition(".")[0]
        for key in (*keys(), RULES)
        if not table or key.startswith(table + ".")
    }
    if suggestion := did_you_mean(name, here):
        return f"no such key{suggestion}"
    elsewhere = [key.rpartition(".")[0] for key in keys() if key.rpartition(".")[2] == name]
    if elsewhere:
        return f"no such key here; {name} belongs under [{elsewhere[0]}]"
    return f"no such key; there are {', '.join(sorted(here))}"
