"""Defaults < file < environment < flags; everything that is wrong at once."""

from pathlib import Path

import pytest

from proxy.config import ConfigError, Settings, load
from proxy.config.layers import FLAGS, candidates, variable
from proxy.config.settings import keys
from proxy.semantics.units import Seconds

param = pytest.param


def loaded(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return load(file, environ or {})


def problems(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ)
    return [str(problem) for problem in caught.value.problems]


def test_each_layer_replaces_the_one_below(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[cache]\nmax_size = '1GiB'\nmemory = '1MiB'\n[log]\nformat = 'json'\n")
    environ = {"FORECACHE_CACHE__MAX_SIZE": "2GiB", "FORECACHE_CACHE__MEMORY": "2MiB"}
    settings = load(file, environ, {"--max-size": "3GiB"})
    assert settings.log.format == "json"
    assert settings.store.memory == 2 * 2**20
    assert settings.store.max_size == 3 * 2**30
    assert settings.file == file
    assert [(each.key, each.text, each.where) for each in settings.given] == [
        ("cache.max_size", '"3GiB"', "--max-size"),
        ("cache.memory", '"2MiB"', "FORECACHE_CACHE__MEMORY"),
        ("log.format", '"json"', "c.toml:5"),
    ]


def test_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("")
    listen = ("127.0.0.1:1", "[::1]:2")
    settings = load(file, {}, {"--listen": listen, "--cache-dir": str(tmp_path)})
    assert settings.server.listen == listen
    assert settings.store.dir == tmp_path


@pytest.mark.parametrize(("text", "workers"), [("auto", "auto"), ("3", 3)])
def test_the_number_of_workers_is_a_flag(text: str, workers: int | str) -> None:
    settings = load(Path("/dev/null"), {"FORECACHE_SERVER__WORKERS": "2"}, {"--workers": text})
    assert settings.server.workers == workers


def test_flags_are_keys() -> None:
    assert set(FLAGS.values()) <= set(keys())


@pytest.mark.parametrize("key", sorted(keys()))
def test_every_key_is_a_variable_too(key: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, environ={variable(key) + "S": ""})
    assert problem == f"{variable(key)}S: no such key; did you mean {variable(key)}?"


def test_every_key_is_read_from_its_variable(tmp_path: Path) -> None:
    samples = {int: "9", float: "0.5", bool: "true"}
    seen = 0
    for key in keys().values():
        if text := samples.get(key.hint):
            # None of these may be as large as the others.
            small = key.name == "upstream.retries" or key.name.endswith("gzip_level")
            environ = {variable(key.name): "1" if small else text}
            (given,) = loaded(tmp_path, "", environ).given or [None]
            assert given is None or given.where == variable(key.name)
            seen += given is not None
    assert seen > 5


def test_an_empty_folder_is_the_default_one(tmp_path: Path) -> None:
    default = loaded(tmp_path).store.dir
    assert loaded(tmp_path, "[cache]\ndir = ''").store.dir == default
    environ = {"FORECACHE_CACHE__DIR": ""}
    assert loaded(tmp_path, "[cache]\ndir = '/x'", environ).store.dir == default


@pytest.mark.parametrize(
    ("text", "said"),
    [
        param("max_sise = 1", "c.toml:1: max_sise: no such key", id="above all tables"),
        param("[cach]\nx = 1", "c.toml:1: cach: no such key; did you mean cache?", id="table"),
        param(
            "[cache]\nmax_sise = '1GiB'",
            "c.toml:2: cache.max_sise: no such key; did you mean max_size?",
            id="key",
        ),
        param(
            "[cache.freshnes]\nx = 1",
            "c.toml:1: cache.freshnes: no such key; did you mean freshness?",
            id="table in a table",
        ),
        param(
            "[server]\nfields = 3",
            "c.toml:2: server.fields: no such key here; fields belongs under [server.limits]",
            id="in another table",
        ),
        param(
            "[log]\nzzz = 3",
            "c.toml:2: log.zzz: no such key; there are access, format, level",
            id="nothing like it",
        ),
        param("cache = 3", "c.toml:1: cache: is a table: write [cache]", id="value for a table"),
        param(
            "[cache.memory]\nx = 1",
            'c.toml:1: cache.memory: {"x": 1} should be a size',
            id="table for a value",
        ),
        param(
            "[cache]\nmemory = 3",
            'c.toml:2: cache.memory: 3 lacks a unit; did you mean "3B"?',
            id="value",
        ),
        param("rules = 3", "c.toml:1: rules: should be tables", id="rules that are none"),
        param(
            "[[rules]]\nmach = 'x'",
            "c.toml:2: rules[1].mach: no such key; did you mean match?",
            id="key of a rule",
        ),
        param(
            "[[rules]]\nwhere = 'x'", "c.toml:2: rules[1].where: no such key", id="where a rule is"
        ),
        param(
            "[[rules]]\nmatch = 'http://a.example/*'\nfreshness = 3",
            'c.toml:3: rules[1].freshness: 3 lacks a unit; did you mean "3s"?',
            id="value of a rule",
        ),
        param("\n[[rules]]\nregex = '('", "c.toml:2: rules[1]: regex = '('", id="bad regex"),
        param("[[rules]]\nmatch = '*.deb'", "c.toml:1: rules[1]: match = '*.deb'", id="bad glob"),
        param("[[rules]]", "c.toml:1: rules[1]: a rule has either match", id="neither"),
    ],
)
def test_where_which_key_what_and_what_was_meant(text: str, said: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        param("FORECACHE_CACHE__MAX_SISE", "did you mean FORECACHE_CACHE__MAX_SIZE?", id="key"),
        param("FORECACHE_CACHE_MAX_SIZE", "did you mean FORECACHE_CACHE__MAX_SIZE?", id="single"),
        param("FORECACHE_ZZZ__ZZZ", "no such key", id="nothing like it"),
    ],
)
def test_an_unknown_variable(name: str, said: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, environ={name: "1GiB"})
    assert problem.startswith(f"{name}: no such key")
    assert said in problem


def test_variables_of_others_are_let_be(tmp_path: Path) -> None:
    environ = {
        "FORECACHE_PORT": "tcp://192.0.2.1:3128",
        "FORECACHE_PORT_3128_TCP_ADDR": "192.0.2.1",
        "FORECACHE_SERVICE_HOST": "192.0.2.1",
        "PATH": "/bin",
    }
    assert loaded(tmp_path, environ=environ).given == ()


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = (
        "[cache]\nmax_sise = 1\nmemory = 1\n"
        "[[rules]]\nfreshnes = 1\nmatch = 2\n[upstream]\nretries = 7"
    )
    found = problems(tmp_path, text, {"FORECACHE_LOG__LEVEL": "loud"})
    assert [each.partition(": ")[0] for each in found] == [
        "c.toml:2",
        "c.toml:3",
        "c.toml:5",
        "c.toml:6",
        "FORECACHE_LOG__LEVEL",
        "c.toml:8",
    ]


def test_rules_keep_their_order_and_where_they_are_written(tmp_path: Path) -> None:
    text = "[[rules]]\nmatch = 'http://a.example/*'\n\n[[rules]]\nregex = 'b'\nfreshness = '1d'\n"
    first, second = loaded(tmp_path, text).cache.rules
    assert (first.where, first.match) == ("c.toml:1", "http://a.example/*")
    assert second.where == "c.toml:4"
    assert second.freshness == Seconds(86400)


def test_rules_in_a_variable_replace_those_of_the_file(tmp_path: Path) -> None:
    environ = {"FORECACHE_RULES": '[{ regex = "b", cache = false }, { regex = "c" }]'}
    settings = loaded(tmp_path, "[[rules]]\nregex = 'a'\n", environ)
    assert [rule.where for rule in settings.cache.rules] == [
        "FORECACHE_RULES:1",
        "FORECACHE_RULES:2",
    ]
    assert settings.given[0].text == '"b"'


@pytest.mark.parametrize("text", ["[{", "3", '["a"]'])
def test_bad_rules_in_a_variable(text: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, environ={"FORECACHE_RULES": text})
    assert problem.startswith("FORECACHE_RULES: rules: ")


def test_passwords_are_not_listed(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[upstream]\nparent = 'http://u:secret@proxy.example:1'")
    assert settings.given[0].text == '"http://***@proxy.example:1"'
    assert "secret" in settings.upstream.parent


def test_the_file_is_looked_for(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    mine, _ = candidates(environ)
    mine.parent.mkdir()
    mine.write_text("[log]\nlevel = 'debug'")
    settings = load(environ=environ)
    assert settings.file == mine
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("environ", "places"),
    [
        param({"HOME": "/h"}, ["/h/.config/forecache/config.toml"], id="at home"),
        param({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, ["/x/forecache/config.toml"], id="XDG"),
        param({}, [], id="no home"),
        param({"HOME": ""}, [], id="empty home"),
    ],
)
def test_places(environ: dict[str, str], places: list[str]) -> None:
    *own, system = candidates(environ)
    assert list(map(str, own)) == places
    assert str(system) == "/etc/forecache/config.toml"


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.toml", {})


def test_the_environment_is_that_of_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECACHE_LOG__LEVEL", "debug")
    assert load(Path("/dev/null")).log.level == "debug"
