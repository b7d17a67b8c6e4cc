"""What is said of several workers in a terminal, and that of one nothing is."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import pytest
from click.testing import CliRunner

from proxy.cli import _forecache, shown
from proxy.cli.inside import _screen
from tests.support.admin_stub import Stub, running

if TYPE_CHECKING:
    from pathlib import Path

param = pytest.param

TABLE: Final = [
    "worker        pid  requests    hits  connections  tunnels",
    "0         4194300   1071045  43.3 %          812       16",
    "1         4194299    535522  57.8 %          406       15",
    "2       no answer",
]
LINES: Final = [
    " worker 0        1071045 requests, 43.3 % hits, 812 connections, 16 tunnels",
    " worker 1        535522 requests, 57.8 % hits, 406 connections, 15 tunnels",
    " worker 2        no answer",
]


async def stats(workers: int, tmp_path: Path, *options: str) -> str:
    """What the command prints."""
    async with running(Stub(workers=workers)) as stub:
        file = tmp_path / "c.toml"
        file.write_text(f'[admin]\nlisten = "127.0.0.1:{stub.port}"\n')
        words = ["stats", "--config", str(file), *options]
        result = await asyncio.to_thread(CliRunner().invoke, _forecache, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("workers", "told"), [param(1, [], id="one"), param(3, TABLE, id="one of three is silent")]
)
async def test_stats_have_a_line_for_each_of_several(
    workers: int, told: list[str], tmp_path: Path
) -> None:
    lines = [line.rstrip() for line in (await stats(workers, tmp_path)).splitlines()]
    heads = [at for at, line in enumerate(lines) if line.startswith(("worker", "reason"))]
    assert lines[heads[0] : heads[-1]] == told


@pytest.mark.parametrize(
    ("workers", "height", "told"),
    [
        param(1, 40, [], id="one"),
        param(3, 40, LINES, id="one of three is silent"),
        param(3, 16, LINES, id="just fits"),
        param(3, 15, [], id="does not fit"),
    ],
)
async def test_top_has_a_line_for_each_that_fits(
    workers: int, height: int, told: list[str], tmp_path: Path
) -> None:
    said = json.loads(await stats(workers, tmp_path, "--json"))
    screen = _screen(said, height)
    assert screen.row_count <= height
    with shown.console.capture() as captured:
        shown.console.print(screen)
    lines = captured.get().splitlines()
    assert [line.rstrip() for line in lines if line.startswith(" worker")] == told
