"""The public HTTP cache test suite, and how much of it must pass.

The suite is a working copy of its repository with its npm dependencies, or the older cut of it in
the npm package ``http-cache-tests``: in ``$CACHE_TESTS_DIR``, or in ``node_modules`` here.
"""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartProcess
from tests.support.house import ROOT, Config

pytestmark = [pytest.mark.conformance, pytest.mark.slow, pytest.mark.timeout(170)]

DRIVER = Path(__file__).with_name("suite.mjs")
DEADLINE = 150.0

# RFC 9213 and RFC 6265 leave these to the operator; the suite asks for both.
BY_THE_BOOK: Config = {
    "cache": {"set_cookie": "rfc"},
    "cache.freshness": {"targeted": ["CDN-Cache-Control"]},
}


@dataclass(frozen=True, slots=True)
class Floor:
    """How many tests of each kind pass at least; of the repository, and of the package."""

    configuration: Config
    repository: Mapping[str, int]
    package: Mapping[str, int]


# ``vary-normalise-space`` takes the value of an unknown field for a list, which is not done here:
# an origin may read it octet by octet.
FLOORS = {
    "by the book": Floor(
        BY_THE_BOOK, {"required": 160, "optimal": 97}, {"required": 140, "optimal": 77}
    ),
    "defaults": Floor({}, {"required": 148, "optimal": 89}, {"required": 136, "optimal": 76}),
}


def suite() -> Path:
    """Where the suite is; skips with what is missing."""
    given = os.environ.get("CACHE_TESTS_DIR")
    folder = Path(given) if given else ROOT / "node_modules" / "http-cache-tests"
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (folder / "tests" / "index.mjs").exists():
        pytest.skip(f"no cache test suite in {folder}: set CACHE_TESTS_DIR")
    return folder


def passed(tests: list[dict[str, Any]], results: Mapping[str, object]) -> dict[str, bool]:
    """Per test: a true result counts only if everything that the test needs has one too."""
    needs = {test["id"]: test["needs"] for test in tests}

    @cache
    def counts(name: str) -> bool:
        return results.get(name) is True and all(counts(need) for need in needs[name])

    return {test["id"]: counts(test["id"]) for test in tests if not test["browser"]}


async def play(folder: Path, proxy: str, out: Path) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *("node", "--no-warnings", str(DRIVER), str(folder), proxy, str(out)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            _, said = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.communicate()
        raise
    assert child.returncode == 0, said.decode()
    played: dict[str, Any] = json.loads(await asyncio.to_thread(out.read_text))
    return played


@pytest.mark.parametrize("name", FLOORS)
async def test_the_floor_holds(
    start_process: StartProcess,
    tmp_path: Path,
    record_property: Any,
    name: str,
) -> None:
    folder, floor = suite(), FLOORS[name]
    process = await start_process(floor.configuration)
    played = await play(folder, process.url, tmp_path / "out.json")
    kinds = {test["id"]: test["kind"] for test in played["tests"]}
    verdicts = passed(played["tests"], played["results"])
    score = Counter(kinds[test] for test, good in verdicts.items() if good)
    missed = {
        kind: [test for test, good in verdicts.items() if not good and kinds[test] == kind]
        for kind in ("required", "optimal")
    }
    record_property("score", dict(score))
    at_least = floor.repository if (folder / "test-engine").exists() else floor.package
    for kind, least in at_least.items():
        reasons = {test: played["results"].get(test) for test in missed[kind]}
        assert score[kind] >= least, f"{kind}: {score[kind]} of {least}; missed: {reasons}"
