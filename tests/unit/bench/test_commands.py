"""Each benchmark runs, in a size in which its figures say nothing, and its figures are in order."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.bench.micro import NAMES
from tests.bench.peers import PEERS

ROOT = Path(__file__).parents[3]


class Done(NamedTuple):
    """The rows of its tables, by their first column; its figures; what it said meanwhile."""

    rows: dict[str, list[str]]
    figures: dict[str, Any]
    said: str


def bench(folder: Path, *arguments: str) -> Done:
    """Run it as a person does."""
    file = folder / "figures.json"
    command = [sys.executable, "-W", "error", "-m", "tests.bench", *arguments, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.strip("|").split("|") for line in done.stdout.splitlines() if line[:1] == "|"]
    rows = {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines}
    figures = json.loads(file.read_text())
    assert {"date", "machine", "versions"} <= figures.keys(), done.stderr
    return Done(rows, figures, done.stderr)


def check(one: dict[str, float], *, hits: bool) -> None:
    """``asked`` is how often the origin was, for each request."""
    assert one["errors"] == 0
    assert one["rate"] > 1
    assert one["cpu"] > 0
    assert 0 < one["p50"] <= one["p99"]
    assert one["asked"] < 0.5 if hits else one["asked"] > 0.9


def test_load_without_wrk_and_without_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    only = ("load", "--only", "gzip-client", "--rounds", "1", "--seconds", "0.3")
    rows, figures, said = bench(tmp_path, *only)
    assert "gzip-client" in rows
    for peer in PEERS:
        assert f"{peer} is not installed: skipped" in said
    assert figures["how"].startswith("python")
    assert figures["rounds"]["gzip-client"].keys() == {"forecache"}
    check(figures["medians"]["gzip-client"]["forecache"], hits=True)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_load_by_wrk(tmp_path: Path) -> None:
    only = ("load", "--peers", "", "--only", "store10k", "--rounds", "1", "--seconds", "1")
    rows, figures, _ = bench(tmp_path, *only)
    assert figures["how"].startswith("wrk")
    check(figures["medians"]["store10k"]["forecache"], hits=False)
    assert "store10k" in rows


def test_micro(tmp_path: Path) -> None:
    rows, figures, _ = bench(tmp_path, "micro", "--repeats", "1", "--seconds", "0.001")
    took = figures["microseconds"]
    assert [name for name in rows if name in NAMES] == list(took) == list(NAMES)
    assert all(us > 0 for us in took.values())


def test_eviction(tmp_path: Path) -> None:
    rows, figures, _ = bench(tmp_path, "eviction", "--requests", "10000", "--urls", "1000")
    for row in figures["hits"]:
        assert 0 < row["LRU"] < row["forecache"] < row["optimum"] < 1
    assert [row["part"] for row in figures["hits"]] == [0.01, 0.1]
    assert "10% of the octets" in rows


def test_connections(tmp_path: Path) -> None:
    few = ("connections", "--peers", "", "--count", "20", "--seconds", "0.1")
    rows, figures, _ = bench(tmp_path, *few, "--generator", "python")
    assert figures["idle"]["forecache"]["count"] == 20
    assert figures["tunnels"]["forecache"]["carried"] > 1
    assert figures["tunnels"]["forecache"]["opened"] > 1
    assert "forecache" in rows


def test_size(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    few = ("size", str(folder), "--count", "600", "--hits", "500", "--starts", "2")
    rows, figures, _ = bench(tmp_path, *few)
    assert "start, s" in rows
    for when in ("the first time", "after another start"):
        assert figures["figures"][f"errors {when}"] == 0
        assert figures["figures"][f"a hit from disk {when}, CPU us"] > 0
    made = (folder / "entries.json").read_text()
    assert json.loads(made) == {"entries": 600, "octets": 10_000}
