"""The commands that look into a running proxy, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner

from proxy.cli import _forecache
from tests.support.house import as_toml
from tests.support.origin import Origin, reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from tests.conftest import StartHouse
    from tests.support.house import House

    Run = Callable[..., Awaitable[Result]]

FRESH: Final = "Cache-Control: max-age=600"


@pytest.fixture
async def house(start_house: StartHouse) -> House:
    return await start_house({"admin": {"listen": "127.0.0.1:0"}})


@pytest.fixture
def run(house: House, tmp_path: Path) -> Run:
    """A command with the configuration of the running proxy."""
    server = house.running.admin
    assert server is not None
    file = tmp_path / "inside.toml"
    file.write_text(as_toml({"admin": {"listen": server.address}}))

    async def go(command: str, *arguments: str) -> Result:
        words = [command, "--config", str(file), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, _forecache, words)

    return go


async def stored(house: House, origin: Origin, *paths: str) -> None:
    for path in paths:
        lines = (FRESH, "Content-Type: text/x", f"Cache-Tag: tag-{path[1:]}")
        origin.serve(path, reply(200, *lines, body=b"hello"))
        await house.get(origin.url(path))
        await house.running.door.exchange.settled(origin.url(path))


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


async def test_ls(house: House, origin: Origin, run: Run) -> None:
    await stored(house, origin, "/a", "/b")
    listed = parsed(await run("ls", "--json", "--sort", "url"))
    assert {entry["url"] for entry in listed} == {origin.url("/a"), origin.url("/b")}
    text = (await run("ls", "/a")).output
    assert origin.url("/a") in text
    assert origin.url("/b") not in text
    tagged = parsed(await run("ls", "--json", "--tag", "tag-b"))
    assert [entry["url"] for entry in tagged] == [origin.url("/b")]


async def test_show(house: House, origin: Origin, run: Run) -> None:
    await stored(house, origin, "/a")
    assert parsed(await run("show", origin.url("/a"), "--json"))["url"] == origin.url("/a")
    text = (await run("show", origin.url("/a"))).output
    for name in ("lifetime", "variant", "tag-a"):
        assert name in text
    missing = await run("show", origin.url("/none"))
    assert (missing.exit_code, "Nothing is stored" in missing.output) == (3, True)


async def test_explain(house: House, origin: Origin, run: Run) -> None:
    await stored(house, origin, "/a")
    assert parsed(await run("explain", "--json", origin.url("/a")))["reason"] == "hit"
    text = (await run("explain", origin.url("/a"), "-H", "Cache-Control: no-cache")).output
    assert "request-no-cache" in text
    origin.serve("/b", reply(200, "Cache-Control: private", body=b"hello"))
    await house.get(origin.url("/b"))
    while "Last asked" not in text:  # records come in batches
        text = (await run("explain", origin.url("/b"))).output
    assert text.endswith("ago: 200, not-stored-private.\n")
    denied = (await run("explain", "http://10.0.0.1/")).output.splitlines()
    assert denied[0].startswith("denied-destination  10.0.0.1 is denied by the built-in rule")
    assert "[access] allow_destinations" in denied[0]  # which is no markup
    wrong = await run("explain", "nonsense")
    assert wrong.exit_code == 1


async def test_purge(house: House, origin: Origin, run: Run) -> None:
    await stored(house, origin, "/a", "/b")
    dry = await run("purge", "--prefix", origin.url("/"), "--dry-run")
    assert dry.exit_code == 0
    assert re.fullmatch(r"2 \([0-9]{3} B\) would be purged\n", dry.output)
    assert parsed(await run("purge", origin.url("/a"), "--json"))["keys"] == 1
    assert not (await house.get(origin.url("/a"))).hit
    (variant,) = parsed(await run("show", origin.url("/b"), "--json"))["variants"]
    for word, code in (("none", 3), (variant["id"], 0)):
        assert (await run("purge", origin.url("/b"), "--variant", word)).exit_code == code
    assert not (await house.get(origin.url("/b"))).hit
    assert (await run("purge", "--all", "--variant", "x")).exit_code == 2
    assert (await run("purge")).exit_code == 2
    assert (await run("purge", origin.url("/a"), "--all")).exit_code == 2


async def test_warm(house: House, origin: Origin, run: Run, tmp_path: Path) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    file = tmp_path / "urls"
    file.write_text(f"{origin.url('/a')}\n\n")
    done = await run("warm", "--from", str(file))
    assert done.exit_code == 0
    assert "1 fetched, 0 failed" in done.output
    assert (await house.get(origin.url("/a"))).hit
    failed = await run("warm", origin.url("/none"))
    assert (failed.exit_code, "404" in failed.output) == (1, True)
    assert (await run("warm")).exit_code == 2


async def test_stats(house: House, origin: Origin, run: Run) -> None:
    await stored(house, origin, "/a")
    assert parsed(await run("stats", "--json"))["store"]["keys"] == 1
    assert "hits" in (await run("stats")).output


async def test_what_is_stored_does_nothing_to_a_terminal(
    house: House, origin: Origin, run: Run
) -> None:
    origin.serve("/a", reply(200, FRESH, "X-A: [red]\x9b31m\u00ad", body=b"hello"))
    await house.get(origin.url("/a"))
    shown = (await run("show", origin.url("/a"))).output
    assert "[red]\\x9b31m" in shown
    assert "\x9b" not in shown


async def test_where_nobody_answers(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[admin]\nlisten = "127.0.0.1:1"\n')
    for command in (["top"], ["purge", "--all"], ["explain", "http://a.example/"]):
        words = [command[0], "--config", str(file), *command[1:]]
        result = CliRunner().invoke(_forecache, words)
        assert result.exit_code == 4
        assert "No proxy answers" in result.output
    file.write_text('[admin]\nlisten = "off"\n')
    result = CliRunner().invoke(_forecache, ["top", "--config", str(file)])
    assert (result.exit_code, "is off" in result.output) == (4, True)
