"""The command as a person types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import __version__

ROOT = Path(__file__).parents[2]
param = pytest.param


def forecache(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FORECACHE_")}
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=ROOT,
        env={**kept, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_version() -> None:
    run = forecache("--version")
    assert (run.returncode, run.stdout) == (0, f"forecache {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        param(["serv"], "Did you mean 'serve'?", id="no such command"),
        param(["serve", "--port", "1"], "No such option", id="no such option"),
        param(["check", "--config"], "requires an argument", id="no value"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    run = forecache(*arguments)
    assert run.returncode == 2
    assert said in run.stderr
    assert run.stdout == ""


def test_help_lists_the_commands_and_flags() -> None:
    run = forecache("--help")
    assert run.returncode == 0
    assert {"serve", "check"} <= set(run.stdout.split())
    run = forecache("serve", "--help")
    assert {"--config", "--listen", "--cache-dir", "--max-size"} <= set(run.stdout.split())


def test_check_says_where_each_setting_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        "[cache]\nmemory = '1MiB'\nmax_size = '10GiB'\n[[rules]]\nmatch = 'http://a.example/*'\n"
    )
    run = forecache("check", "--config", str(file), FORECACHE_LOG__LEVEL="debug")
    assert run.returncode == 0
    assert run.stdout.splitlines() == [
        f"{file}: valid",
        '  cache.memory = "1MiB"  # config.toml:2',
        '  log.level = "debug"  # FORECACHE_LOG__LEVEL',
        '  rules = "http://a.example/*"  # config.toml:4',
    ]


def test_check_without_a_file(tmp_path: Path) -> None:
    if Path("/etc/forecache/config.toml").exists():
        pytest.skip("this machine has a configuration of its own")
    run = forecache("check", XDG_CONFIG_HOME=str(tmp_path))
    assert run.returncode == 0
    assert run.stdout == "No configuration file: valid\nEverything is at its default.\n"


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_bad_configuration_is_explained(command: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[cache]\nmax_sise = '1GiB'\n[server]\nlisten = '0.0.0.0:3128'\n")
    run = forecache(command, "--config", str(file))
    assert run.returncode == 1
    assert run.stdout == ""
    first, second = run.stderr.splitlines()
    assert first == "config.toml:2: cache.max_sise: no such key; did you mean max_size?"
    assert second.startswith("config.toml:4: server.listen: ")
    assert 'add clients = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"] under [access]' in second


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    run = forecache("check", "--config", str(tmp_path / "absent.toml"))
    assert run.returncode == 1
    assert "cannot be read: No such file or directory" in run.stderr


def test_a_bad_flag_is_named() -> None:
    run = forecache("serve", "--max-size", "10GB")
    assert run.returncode == 1
    assert run.stderr.startswith("--max-size: cache.max_size: '10GB' is not a size")
