"""``Settings``: what the floors are built from, and the names under which people set them."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import platformdirs

from proxy.access.rules import AccessOptions
from proxy.admin.accesslog import LogOptions
from proxy.admin.options import AdminOptions
from proxy.codings.options import CodingOptions
from proxy.exchange.options import ExchangeOptions
from proxy.frontend.options import ServerOptions
from proxy.policy.options import Options
from proxy.policy.rules import Rule
from proxy.semantics.units import Octets, Seconds
from proxy.store.options import StoreOptions
from proxy.upstream.options import UpstreamOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Given:
    """One key as set by a person: ``text`` as written, ``where`` (file:line, variable, flag)."""

    key: str
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was decided; ``given`` has the keys set to other than their default.

    ``file`` is the configuration file that was read, None without one.
    """

    server: ServerOptions
    cache: Options
    store: StoreOptions
    exchange: ExchangeOptions
    upstream: UpstreamOptions
    access: AccessOptions
    coding: CodingOptions
    admin: AdminOptions
    log: LogOptions
    file: Path | None = None
    given: tuple[Given, ...] = ()


# Which table the fields of each of the Options are keys of; a key may serve two of them.
TABLES: Final[Mapping[str, tuple[str, type]]] = {
    "server": ("server", ServerOptions),
    "cache": ("cache", Options),
    "store": ("cache", StoreOptions),
    "exchange": ("cache", ExchangeOptions),
    "upstream": ("upstream", UpstreamOptions),
    "access": ("access", AccessOptions),
    "coding": ("coding", CodingOptions),
    "admin": ("admin", AdminOptions),
    "log": ("log", LogOptions),
}
_ELSEWHERE: Final = {
    "cache.x_cache": "server.x_cache",
    "cache.response_head": "upstream.response_head",
}
_TYPES: Final = {"Rule": Rule, "Octets": Octets, "Seconds": Seconds}
RULES: Final = "rules"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the contract: dotted name, type, default."""

    name: str
    hint: Any
    default: object


def hints(options: type) -> dict[str, Any]:
    """The types of the fields of an Options class, those under TYPE_CHECKING too."""
    # Path is in a module's own namespace only while type checking, too.
    from pathlib import Path  # noqa: PLC0415

    return get_type_hints(options, localns={**_TYPES, "Path": Path})


def cache_folder() -> Path:
    """The platform's user cache folder, ours in it."""
    return platformdirs.user_cache_path("forecache", appauthor=False)


def _key_name(table: str, name: str) -> str:
    key = f"{table}.{name}"
    return _ELSEWHERE.get(key, key)


def _walk(table: str, options: type) -> Iterator[Key]:
    types = hints(options)
    for each in fields(options):
        hint = types[each.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _walk(f"{table}.{each.name}", hint)
        elif each.name != RULES:
            default = cache_folder() if each.default is MISSING else each.default
            yield Key(_key_name(table, each.name), hint, default)


@lru_cache(maxsize=1)
def keys() -> dict[str, Key]:
    """Every key but ``rules``, by dotted name."""
    return {key.name: key for table, options in TABLES.values() for key in _walk(table, options)}


def build(table: str, options: type, values: Mapping[str, Any]) -> Any:
    """An Options from values by dotted name. Raises ValueError as the Options does."""
    types = hints(options)
    arguments = {}
    for each in fields(options):
        hint, key = types[each.name], _key_name(table, each.name)
        if is_dataclass(hint) and isinstance(hint, type):
            arguments[each.name] = build(f"{table}.{each.name}", hint, values)
        elif each.name == RULES:
            arguments[each.name] = values.get(RULES, ())
        else:
            arguments[each.name] = values.get(key, keys()[key].default)
    return options(**arguments)
