"""However long what clients say, and however often: what is remembered of it has its bounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import Origin, reply
from tests.support.wire import request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.support.house import ProcessHouse

pytestmark = pytest.mark.slow

MOST_GROWTH: Final = 64 * 2**20  # octets beside the cache's own memory
MANY: Final = 2000
WARM: Final = 50


async def _ask(house: ProcessHouse, numbers: range, head: Callable[[int], bytes]) -> set[int]:
    """The statuses; on one connection as long as it is there."""
    statuses = set()
    wire = await house.wire()
    for number in numbers:
        await wire.send(head(number))
        answer = await wire.response()
        statuses.add(answer.status)
        if answer.get("connection") == "close":
            wire = await house.wire()
    return statuses


async def _check_growth(house: ProcessHouse, head: Callable[[int], bytes], status: int) -> None:
    """It grows within bounds, and then no more."""
    await _ask(house, range(WARM), head)
    before = house.resident
    assert await _ask(house, range(WARM, MANY), head) == {status}
    full = house.resident
    assert full - before < MOST_GROWTH
    assert await _ask(house, range(MANY, 2 * MANY), head) == {status}
    assert house.resident - full < MOST_GROWTH / 4


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """Somebody has it open and does not read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path
    os.close(descriptor)


@pytest.mark.parametrize("form", ["squid", "combined", "json"])
async def test_37_hits_with_long_fields(
    form: str, start_process: StartProcess, origin: Origin, tmp_path: Path
) -> None:
    log = {"access": str(tmp_path / "access.log"), "format": form}
    await _hits(await start_process({"log": log}), origin)


async def test_37_a_log_that_is_blocked(
    start_process: StartProcess, origin: Origin, pipe: Path
) -> None:
    await _hits(await start_process({"log": {"access": str(pipe)}}), origin)


async def _hits(house: ProcessHouse, origin: Origin) -> None:
    origin.serve("/a", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    url = origin.url("/a")

    def head(number: int) -> bytes:
        return request("GET", url, (f"User-Agent: {number}{'x' * 60_000}",))

    await _check_growth(house, head, 200)
    assert origin.count("/a") == 1


async def test_37_refused_requests_with_long_urls(
    start_process: StartProcess, tmp_path: Path
) -> None:
    house = await start_process({"log": {"access": str(tmp_path / "access.log")}})

    def head(number: int) -> bytes:
        return request("GET", f"http://10.0.0.1/{number}{'x' * 16_000}")

    await _check_growth(house, head, 403)
