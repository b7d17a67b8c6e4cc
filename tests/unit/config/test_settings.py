"""The names under which people set what the floors are built from."""

from pathlib import Path

import platformdirs
import pytest

from proxy.config.settings import TABLES, build, keys
from proxy.frontend.options import ServerOptions
from proxy.semantics.units import Octets, Seconds
from proxy.store.options import StoreOptions

param = pytest.param

# The contract: these names, and these defaults.
CONTRACT = [
    ("server.listen", ("127.0.0.1:3128",)),
    ("server.max_connections", 10000),
    ("server.limits.request_head", 64 * 2**10),
    ("server.limits.fields", 128),
    ("server.limits.header_timeout", 30),
    ("server.limits.idle_timeout", 60),
    ("cache.dir", platformdirs.user_cache_path("forecache")),
    ("cache.max_size", 10 * 2**30),
    ("cache.max_object_size", 0),
    ("cache.memory", 128 * 2**20),
    ("cache.set_cookie", "explicit"),
    ("cache.freshness.heuristic_fraction", 0.1),
    ("cache.freshness.heuristic_max", 86400),
    ("cache.freshness.stale_if_error", 86400),
    ("cache.freshness.targeted", ()),
    ("upstream.connect_timeout", 10),
    ("server.limits.body_timeout", 900),
    ("server.limits.write_timeout", 900),
    ("upstream.read_timeout", 900),
    ("upstream.connections_per_origin", 0),
    ("upstream.keep_alive", 60),
    ("upstream.retries", 1),
    ("upstream.parent", ""),
    ("upstream.no_proxy", ()),
    ("access.clients", ("127.0.0.0/8", "::1/128")),
    ("access.http_ports", (80, "1024-65535")),
    ("access.connect_ports", (443, 80)),
    ("access.allow_destinations", ()),
    ("access.deny_destinations", ()),
    ("log.access", "-"),
    ("log.format", "squid"),
    ("log.level", "info"),
]


@pytest.mark.parametrize(("name", "default"), CONTRACT, ids=[name for name, _ in CONTRACT])
def test_the_contract(name: str, default: object) -> None:
    assert keys()[name].default == default


def test_a_key_that_serves_two_floors_has_one_name() -> None:
    assert "server.x_cache" in keys()
    assert "cache.x_cache" not in keys()
    for part in ("server", "exchange"):
        assert build(*TABLES[part], {"server.x_cache": True}).x_cache is True
    assert "cache.response_head" not in keys()
    for part in ("upstream", "cache"):
        given = {"upstream.response_head": Octets(9)}
        assert build(*TABLES[part], given).response_head == 9


def test_types_are_known_even_those_that_only_checkers_import() -> None:
    assert keys()["cache.dir"].hint is Path
    assert keys()["cache.max_size"].hint is Octets
    assert keys()["server.shutdown_timeout"].hint is Seconds


def test_build_nests() -> None:
    built = build("server", ServerOptions, {"server.limits.fields": 9, "server.x_cache": True})
    assert built == ServerOptions(x_cache=True, limits=built.limits)
    assert built.limits.fields == 9


def test_build_passes_on_what_the_options_refuse() -> None:
    with pytest.raises(ValueError, match="max_size must be at least"):
        build("cache", StoreOptions, {"cache.max_size": 1})
