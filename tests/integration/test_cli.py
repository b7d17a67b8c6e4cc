"""The command as a person types it."""

import http.client
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy import __version__
from proxy.config.layers import FLAGS

ROOT = Path(__file__).parents[2]
param = pytest.param


COMMAND = [sys.executable, "-m", "proxy"]
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("FORECACHE_")}


def forecache(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_version() -> None:
    run = forecache("--version")
    assert (run.returncode, run.stdout) == (0, f"forecache {__version__}\n")


@pytest.mark.parametrize("command", ["--version", "check", "serve"])
def test_who_prints_no_tables_imports_nothing_for_them(command: str) -> None:
    script = (
        "import sys\nfrom proxy.cli import main\n"
        "try: main()\nfinally: assert 'rich' not in sys.modules"
    )
    clients = {"FORECACHE_ACCESS__CLIENTS": "10.0.0.0/8"}
    nowhere = {"FORECACHE_SERVER__LISTEN": "192.0.2.1:1", **clients}  # so that serve ends
    run = subprocess.run(
        [sys.executable, "-c", script, command],
        cwd=ROOT,
        env={**ENVIRON, **nowhere},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert "AssertionError" not in run.stderr
    assert run.returncode == (1 if command == "serve" else 0), run.stderr


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
    assert {"--config", *FLAGS} <= set(run.stdout.split())


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


def test_check_warns_of_a_regex_that_may_take_long(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[[rules]]\nregex = '(a+)+$'\n[[rules]]\nregex = 'a+$'\n")
    run = forecache("check", "--config", str(file))
    assert run.returncode == 0
    (line,) = run.stderr.splitlines()
    assert line.startswith("config.toml:1: regex = '(a+)+$' repeats what repeats")


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


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        param("--max-size", "10GB", "cache.max_size: '10GB' is not a size", id="size"),
        param("--cache-dir", "~nobody-here/x", "cache.dir: ", id="folder"),
        param("--workers", "0", "server.workers: should be from 1 to 64", id="no worker"),
        param("--workers", "many", 'server.workers: "many" should be a whole number', id="word"),
    ],
)
def test_a_bad_flag_is_named(flag: str, value: str, said: str) -> None:
    run = forecache("serve", flag, value)
    assert run.returncode == 1
    assert run.stderr.startswith(f"{flag}: {said}")


@contextmanager
def serving(
    tmp_path: Path, stdout: int, *arguments: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command and its port; killed at the end if it still runs."""
    flags = ["--listen", "127.0.0.1:0", "--cache-dir", str(tmp_path / "cache"), *arguments]
    with subprocess.Popen(
        [*COMMAND, "serve", "--config", os.devnull, *flags],
        cwd=ROOT,
        env=ENVIRON,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"listening on 127\.0\.0\.1:([0-9]+)", line):
                    yield process, int(found[1])
                    return
            pytest.fail("it did not start")
        finally:
            process.kill()


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def test_serve_logs_to_stdout_and_leaves_nothing_unlogged(tmp_path: Path) -> None:
    with serving(tmp_path, subprocess.PIPE) as (process, port):
        assert healthy(port)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        (line,) = process.stdout.read().splitlines()
        assert process.wait(30) == 0
    assert line.split()[3:] == [
        "NONE/200", line.split()[4], "GET", "/healthz", "-", "HIER_NONE/-", "text/plain", "self"
    ]  # fmt: skip


def test_usr1_opens_the_log_again(tmp_path: Path) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    config = tmp_path / "config.toml"
    config.write_text(f"[log]\naccess = '{path}'\n")
    with serving(tmp_path, subprocess.DEVNULL, "--config", str(config)) as (process, port):
        assert healthy(port)
        path.rename(rotated)
        os.mkfifo(path)
        process.send_signal(signal.SIGUSR1)
        # Opening either end of a FIFO waits for the other: from here on the log has reopened.
        with path.open() as reader:
            assert healthy(port)
            process.send_signal(signal.SIGTERM)
            assert reader.read().count("/healthz") == 1
        assert process.wait(30) == 0
    assert rotated.read_text().count("/healthz") == 1


def test_a_terminal_reads_what_to_paste(tmp_path: Path) -> None:
    reading, writing = pty.openpty()
    with os.fdopen(reading) as terminal, serving(tmp_path, writing) as (process, port):
        os.close(writing)
        lines = [terminal.readline().rstrip() for _ in range(9)]
        assert healthy(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    url = f"http://127.0.0.1:{port}"
    assert lines[0] == f"Forecache {__version__}"
    assert f"  export http_proxy={url} https_proxy={url}" in lines
    assert f"  curl -s -o /dev/null -D - -x {url} http://example.com/" in lines


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, subprocess.DEVNULL) as (_, port):
        run = forecache(
            "serve", "--config", os.devnull, "--listen", f"127.0.0.1:{port}",
            "--cache-dir", str(tmp_path / "another"),
        )  # fmt: skip
    assert run.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in run.stderr
