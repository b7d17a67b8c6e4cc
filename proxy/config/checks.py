"""What no single type can say: bounds, syntax of entries, and keys that contradict one another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from proxy.access.rules import parse_destination, parse_network, parse_ports
from proxy.config.regexes import takes_long
from proxy.frontend.options import parse_listener
from proxy.semantics.grammar import is_token
from proxy.semantics.units import format_duration, format_size
from proxy.store.generations import MOST_PROCESSES
from proxy.upstream.routes import parse_no_proxy, parse_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.config.settings import Settings

Wrong = tuple[str, str]
T = TypeVar("T")

_USERINFO: Final = re.compile(r"//[^/@]*@")

# The smallest value that makes sense, where a type allows less.
_AT_LEAST: Final = {
    "server.max_connections": 1,
    "server.max_connections_per_client": 1,
    "server.limits.request_head": 1024,
    "server.limits.request_line": 256,
    "server.limits.fields": 8,
    "server.limits.header_timeout": 0.1,
    "server.limits.idle_timeout": 0.1,
    "server.limits.write_timeout": 0.1,
    "server.limits.body_timeout": 0.1,
    "server.limits.tunnel_idle_timeout": 0.1,
    "server.limits.buffer": 4096,
    "server.limits.requests_per_second": 0,
    "cache.freshness.heuristic_fraction": 0,
    "upstream.connect_timeout": 0.1,
    "upstream.connect_total_timeout": 0.1,
    "upstream.read_timeout": 0.1,
    "upstream.connections_per_origin": 0,
    "upstream.idle_connections": 0,
    "upstream.retries": 0,
    "upstream.interim_responses": 0,
    "upstream.response_head": 1024,
}
_SECRETS: Final = frozenset({"admin.token"})
_AT_MOST: Final = {"cache.freshness.heuristic_fraction": 1, "upstream.retries": 1}


def without_password(text: str) -> str:
    """A URL in a text, fit to be shown."""
    return _USERINFO.sub("//***@", text)


def presentable(key: str, text: str) -> str:
    """The value of a key, fit to be shown."""
    return '"***"' if key in _SECRETS else without_password(text)


def wrong(settings: Settings, spoken: frozenset[str]) -> Iterator[Wrong]:
    """Each (key, sentence); ``spoken`` are the keys that somebody set on purpose."""
    yield from _bounds(settings)
    yield from _server(settings, spoken)
    yield from _cache(settings)
    yield from _entries("access.clients", settings.access.clients, parse_network)
    yield from _entries("access.purge_clients", settings.access.purge_clients, parse_network)
    for name in ("allow_destinations", "deny_destinations"):
        entries = getattr(settings.access, name)
        yield from _entries(f"access.{name}", entries, parse_destination)
    for name in ("http_ports", "connect_ports"):
        yield from _entries(f"access.{name}", getattr(settings.access, name), parse_ports)
    yield from _admin(settings)
    if settings.upstream.parent:
        yield from _entries("upstream.parent", (settings.upstream.parent,), parse_parent)
    yield from _entries("upstream.no_proxy", settings.upstream.no_proxy, _check_no_proxy)


def doubtful(settings: Settings) -> Iterator[Wrong]:
    """Each (place, sentence) of what is valid, and yet may not be what is wanted."""
    for rule in settings.cache.rules:
        if rule.regex and takes_long(rule.regex):
            yield (
                rule.where,
                f"regex = {rule.regex!r} repeats what repeats, or too much in a row: a URL can be"
                " made for which it takes seconds. A glob (match) never does, nor do quantifiers"
                " that give nothing back, such as [^/]*+",
            )


def _reach(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _as_set(value: float, key: str) -> str:
    if key.rpartition(".")[2] in ("request_head", "request_line", "buffer", "response_head"):
        return format_size(int(value))
    return format_duration(value) if key.endswith("timeout") else f"{value:g}"


def _bounds(settings: Settings) -> Iterator[Wrong]:
    for key, least in _AT_LEAST.items():
        if _reach(settings, key) < least:
            yield key, f"should be at least {_as_set(least, key)}"
    for key, most in _AT_MOST.items():
        if _reach(settings, key) > most:
            yield key, f"should be at most {_as_set(most, key)}"


def _entries(key: str, entries: tuple[T, ...], check: Callable[[T], object]) -> Iterator[Wrong]:
    for entry in entries:
        try:
            check(entry)
        except ValueError as error:
            yield key, str(error)


def _server(settings: Settings, spoken: frozenset[str]) -> Iterator[Wrong]:
    server, limits = settings.server, settings.server.limits
    bad = list(_entries("server.listen", server.listen, parse_listener))
    yield from bad
    if isinstance(server.workers, int) and not 0 < server.workers <= MOST_PROCESSES:
        yield "server.workers", f'should be from 1 to {MOST_PROCESSES}, or "auto"'
    if not server.listen:
        yield "server.listen", 'is empty: write for example listen = "127.0.0.1:3128"'
    if limits.request_line > limits.request_head:
        yield "server.limits.request_line", "should not be larger than request_head"
    if bad or "access.clients" in spoken:
        return
    for listener in map(parse_listener, server.listen):
        if not listener.is_loopback:
            yield (
                "server.listen",
                f"{listener} can be reached from other machines, so say who may use the proxy:"
                ' add clients = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"] under [access],'
                " with your own networks",
            )
            return


def _admin(settings: Settings) -> Iterator[Wrong]:
    admin = settings.admin
    try:
        is_reachable = admin.is_reachable
    except ValueError as error:
        yield "admin.listen", f'{error}; or "unix:/path/of/a/socket", or "off"'
        return
    if is_reachable and not (admin.token or admin.token_file):
        yield (
            "admin.listen",
            f"{admin.listen} can be reached from other machines, so it needs a token: set"
            " token_file (or the variable FORECACHE_ADMIN__TOKEN)",
        )
    if admin.token and admin.token_file:
        yield "admin.token_file", "says the same as token: set one of them"


def _cache(settings: Settings) -> Iterator[Wrong]:
    store, cache = settings.store, settings.cache
    if store.max_object_size > store.max_size:
        yield "cache.max_object_size", "should not be larger than max_size"
    yield from _entries("cache.unkeyed_fields", cache.unkeyed_fields, _check_token)
    yield from _entries("cache.freshness.targeted", cache.freshness.targeted, _check_token)


def _check_token(name: str) -> None:
    if not is_token(name):
        raise ValueError(f"{name!r} is not a field name")


def _check_no_proxy(entry: str) -> None:
    parse_no_proxy((entry,))
