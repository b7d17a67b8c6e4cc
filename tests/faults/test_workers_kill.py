"""Workers that are killed: the others go on, and another takes the place of each."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import DEADLINE, Cut, Incoming, Wire, request
from tests.support.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import StartProcess

FRESH: Final = "Cache-Control: max-age=600"
BROKEN: Final = (Cut, ConnectionError)


@pytest.fixture
async def workers(start_process: StartProcess) -> AsyncIterator[Workers]:
    made = await Workers.start(start_process)
    yield made
    await made.close()


async def ended(pid: int) -> None:
    """Until there is no such process."""
    over = asyncio.Event()
    loop, process = asyncio.get_running_loop(), os.pidfd_open(pid)
    loop.add_reader(process, over.set)
    async with asyncio.timeout(DEADLINE):
        await over.wait()
    loop.remove_reader(process)
    os.close(process)


async def load(wire: Wire, target: str, over: asyncio.Event) -> int:
    """Requests one after the other; how many were answered when it was over, -1 if one was not."""
    answered = 0
    try:
        while not over.is_set():
            await wire.send(request("GET", target))
            assert (await wire.response()).status == 200
            answered += 1
    except BROKEN:
        return -1
    return answered


async def test_only_the_connections_of_the_killed_are_lost(
    workers: Workers, origin: Origin
) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    await workers.house.get(origin.url("/a"))
    wires = await workers.wires(each=5)
    pids, over = await workers.pids(), asyncio.Event()
    loads = [
        [asyncio.create_task(load(wire, origin.url("/a"), over)) for wire in each] for each in wires
    ]
    before = (await workers.counted(500))["requests"]
    os.kill(pids[1], signal.SIGKILL)
    # These queue for the one who is gone, half of them: nobody turns them away.
    queued = [await workers.house.open(origin.url("/a")) for _ in range(30)]
    assert [await incoming.rest() for incoming in queued] == [b"hello"] * 30
    assert [await each for each in loads[1]] == [-1] * 5
    now = await workers.pids()
    assert (now[0], now[1] == pids[1]) == (pids[0], False)
    await workers.counted(before + 500)
    over.set()
    assert min([await each for each in loads[0]]) > 0
    (_,), (again,) = await workers.wires()
    await again.send(request("GET", origin.url("/a")))
    assert (await again.response()).hit
    assert any("ended with SIGKILL" in line for line in workers.house.log)


async def test_what_was_counted_stays_counted(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    (_,), (two,) = await workers.wires()
    await two.send(request("GET", origin.url("/a")))
    await two.response()
    lines = await workers.lines()
    before = (await workers.counted(1 + sum(line["connections"] for line in lines)))["requests"]
    os.kill((await workers.pids())[1], signal.SIGKILL)
    assert (await workers.get("/api/stats"))["requests"] >= before
    await workers.pids()
    stats = await workers.get("/api/stats")
    assert stats["requests"] >= before
    assert stats["results"]["miss"] == 1


async def test_another_fetches_when_the_leader_is_killed(workers: Workers, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"never"))
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    (one,), (two,) = await workers.wires()
    await two.send(request("GET", origin.url("/a")))
    await gate.reached()
    await one.send(request("GET", origin.url("/a")))
    os.kill((await workers.pids())[1], signal.SIGKILL)
    assert (await one.response()).body == b"hello"
    with pytest.raises(BROKEN):
        await two.response()
    assert origin.count("/a") == 2
    gate.open()


async def test_the_admin_endpoint_comes_back(workers: Workers) -> None:
    pids = await workers.pids()
    os.kill(pids[0], signal.SIGKILL)
    # The question queues for the next worker 0.
    now = await workers.pids()
    assert (now[0] == pids[0], now[1]) == (False, pids[1])


async def test_without_a_supervisor_there_are_no_workers(
    start_process: StartProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    workers = await Workers.start(start_process)
    assert [each.stat().st_mode & 0o777 for each in own.iterdir()] == [0o700]
    ending = [asyncio.create_task(ended(pid)) for pid in await workers.pids()]
    await asyncio.sleep(0)
    await workers.house.stop(signal.SIGKILL)
    await asyncio.gather(*ending)
    with pytest.raises(ConnectionError):
        await Wire.connect(workers.house.port)
    assert list(own.iterdir()) == []
    await workers.close()


async def test_a_second_signal_stops_all_at_once(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", Gate())
    (wire,), _ = await workers.wires()
    await wire.send(request("GET", origin.url("/a")))
    assert await Incoming(wire).read(3) == b"one"
    other = asyncio.create_task(ended((await workers.pids())[1]))
    await asyncio.sleep(0)
    workers.house.send(signal.SIGTERM)
    await other  # it has nothing to finish
    workers.house.send(signal.SIGTERM)
    assert await workers.house.ended() == 0


async def test_what_no_worker_can_start_with_ends_it_all(
    start_process: StartProcess, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(AssertionError, match="others can write to"):
        await start_process({"server": {"workers": 2}, "cache": {"dir": str(cache)}})


async def test_the_log_is_reopened_in_all(start_process: StartProcess, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    workers = await Workers.start(start_process, 2, {"log": {"access": str(path)}})
    (one,), (two,) = await workers.wires()
    path.rename(tmp_path / "rotated")
    workers.house.send(signal.SIGUSR1)
    async with asyncio.timeout(DEADLINE):
        for wire in (one, two):
            # Which file a line goes to shows only when it is there.
            marks = 0
            while f"/mark-{id(wire)}" not in (path.read_text() if path.exists() else ""):
                marks += 1
                await wire.send(request("GET", f"/mark-{id(wire)}"))
                await wire.response()
                await asyncio.sleep(0.05)
            assert marks
    await workers.close()
