"""What no single type can say."""

from pathlib import Path

import pytest

from proxy.config import ConfigError, load
from proxy.config.checks import without_password

param = pytest.param


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "c.toml"
    file.write_text(text)
    try:
        load(file, {})
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        param("[server]\nmax_connections = 0", "should be at least 1", id="a count"),
        param("[server.limits]\nbuffer = '1B'", "should be at least 4KiB", id="a size"),
        param("[upstream]\nread_timeout = 0", "should be at least 100ms", id="a duration"),
        param("[upstream]\nretries = 2", "should be at most 1", id="one retry, promise 30"),
        param(
            "[cache.freshness]\nheuristic_fraction = 1.5", "should be at most 1", id="a fraction"
        ),
        param(
            "[cache.freshness]\nheuristic_fraction = -0.1", "should be at least 0", id="negative"
        ),
        param(
            "[server.limits]\nrequest_line = '128KiB'",
            "should not be larger than request_head",
            id="line and head",
        ),
        param("[server]\nlisten = '3128'", "lacks the address", id="listener"),
        param("[server]\nlisten = []", "is empty", id="no listener"),
        param("[server]\nworkers = 0", 'should be from 1 to 64, or "auto"', id="no worker"),
        param("[server]\nworkers = 65", 'should be from 1 to 64, or "auto"', id="many workers"),
        param(
            "[cache]\nmax_size = '1GiB'\nmax_object_size = '2GiB'",
            "should not be larger than max_size",
            id="object and cache",
        ),
        param("[cache]\nmax_size = '1MiB'", "must be at least 16MiB", id="the store's own word"),
        param("[cache]\nunkeyed_fields = ['a b']", "'a b' is not a field name", id="field name"),
        param("[cache.freshness]\ntargeted = ['']", "'' is not a field name", id="targeted"),
        param("[access]\nclients = ['10.0.0.1/8']", "'10.0.0.0/8' is the network", id="network"),
        param("[access]\nhttp_ports = ['1024-99999']", "1024-99999 is not a port", id="http ports"),
        param("[access]\nhttp_ports = 'http'", 'or "any"', id="http ports by another word"),
        param("[access]\nconnect_ports = [0]", "0 is not a port", id="port"),
        param("[access]\nconnect_ports = ['90-80']", "90-80 is not a port", id="ports backwards"),
        param("[access]\nconnect_ports = 'all'", 'or "any"', id="ports by another word"),
        param("[access]\nconnect_ports = [true]", "whole number, or text", id="ports of a type"),
        param("[upstream]\nconnections_per_origin = -1", "at least 0", id="no negative count"),
        param("[access]\nallow_destinations = ['*']", "is not a destination", id="allowed"),
        param("[access]\ndeny_destinations = ['a b']", "is not a destination", id="denied"),
        param("[upstream]\nparent = 'proxy.example:1'", "is not an http URL", id="parent"),
        param("[upstream]\nno_proxy = ['a/b']", "is not a name", id="no_proxy"),
        param("[admin]\nlisten = '3129'", "lacks the address", id="admin"),
        param("[admin]\nlisten = '0.0.0.0:3129'", "needs a token", id="admin for all"),
        param("[admin]\ntoken = 'a'\ntoken_file = 'b'", "the same as token", id="two admin tokens"),
    ],
)
def test_one_sentence_at_the_line(text: str, said: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, text)
    line = text.count("\n") + 1
    key = text.rpartition("\n")[2].partition(" ")[0]
    if "max_size must" not in problem:
        assert problem.startswith(f"c.toml:{line}: ")
    assert f".{key}: " in problem
    assert said in problem


@pytest.mark.parametrize(
    ("listen", "clients", "refused"),
    [
        param("127.0.0.1:3128", "", False, id="loopback"),
        param("[::1]:3128", "", False, id="IPv6 loopback"),
        param("0.0.0.0:3128", "", True, id="26 everywhere"),
        param("[::]:3128", "", True, id="26 everywhere, IPv6"),
        param("192.0.2.1:3128", "", True, id="26 one address"),
        param("0.0.0.0:3128", "clients = ['10.0.0.0/8']", False, id="clients set on purpose"),
        param("0.0.0.0:3128", "clients = ['127.0.0.0/8', '::1/128']", False, id="even to default"),
    ],
)
def test_off_loopback(listen: str, clients: str, refused: bool, tmp_path: Path) -> None:
    found = problems(tmp_path, f"[access]\n{clients}\n[server]\nlisten = '{listen}'")
    assert [each.partition(": ")[0] for each in found] == (["c.toml:4"] if refused else [])
    for each in found:
        assert 'add clients = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"] under [access]' in each


def test_the_line_to_add_is_enough(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[server]\nlisten = '0.0.0.0:3128'")
    line = problem.partition("add ")[2].partition(" under")[0]
    assert problems(tmp_path, f"[server]\nlisten = '0.0.0.0:3128'\n[access]\n{line}") == []


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    assert without_password("http://u:p@h:1") == "http://***@h:1"
    assert without_password("http://h:1/@x") == "http://h:1/@x"
    (problem,) = problems(tmp_path, "[upstream]\nparent = 'http://u:secret@h:x'")
    assert "secret" not in problem
