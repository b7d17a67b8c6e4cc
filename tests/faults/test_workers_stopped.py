"""Workers that are stopped where they stand: the others wait for them, but not for long."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from proxy.exchange import elsewhere, tasks
from proxy.exchange.keeping import PUMP
from proxy.store import writer
from proxy.store.disk import DATABASE
from tests.support.origin import Gate, Origin, reply
from tests.support.wire import DEADLINE, Wire, request
from tests.support.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.conftest import StartHouse, StartProcess
    from tests.support.house import House

pytestmark = pytest.mark.slow

FRESH: Final = "Cache-Control: max-age=600"
LARGE: Final = bytes(range(256)) * 2000
# Beside what is waited for, on a machine with much else to do.
SLACK: Final = 3.0


@pytest.fixture
async def workers(start_process: StartProcess) -> AsyncIterator[Workers]:
    made = await Workers.start(start_process)
    yield made
    await made.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def asked(wire: Wire, target: str) -> tuple[bytes, float]:
    """The body, and the seconds that it took."""
    began = time.monotonic()
    await wire.send(request("GET", target))
    response = await wire.response()
    assert response.status == 200
    return response.body, time.monotonic() - began


async def test_who_waits_for_a_lease_waits_two_seconds(workers: Workers, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"hello"))
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    origin.serve("/b", reply(200, FRESH, body=b"other"))
    zero, (one,) = await workers.wires(each=3), (await workers.pids())[1:]
    (first, second, third), (holder, *_) = zero
    await holder.send(request("GET", origin.url("/a")))
    await gate.reached()
    with stopped(one):
        answers = await asyncio.gather(
            asked(first, origin.url("/a")),
            asked(second, origin.url("/a")),
            asked(third, origin.url("/b")),
        )
        assert [body for body, _ in answers] == [b"hello", b"hello", b"other"]
        assert max(took for _, took in answers) < elsewhere.PATIENCE + SLACK
        # What was fetched meanwhile is stored: nobody waits for the lease any more.
        _, took = await asked(first, origin.url("/a"))
        assert took < elsewhere.PATIENCE
        gate.open()
    assert (await holder.response()).body == b"hello"
    body, _ = await asked(holder, origin.url("/a"))
    assert body == b"hello"


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE Settings SET value = value WHERE key = 'size'")
print("writing", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@contextmanager
def stopped_while_it_writes(folder: Path) -> Iterator[None]:
    """A process of the folder, inside a transaction; it goes on in the end."""
    command = [sys.executable, "-c", HOLDER, str(folder / DATABASE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"writing\n"
        with stopped(process.pid):
            yield
        process.stdin.close()
        assert process.wait(DEADLINE) == 0


async def got(house: House, url: str, body: bytes, method: str = "GET") -> tuple[bool, float]:
    """Whether it was a hit, and the seconds that it took."""
    began = time.monotonic()
    response = await house.get(url, method=method, body=b"x" if method == "POST" else None)
    assert (response.status, response.body) == (200, body)
    return response.hit, time.monotonic() - began


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "storing has failed" in line]


async def warned(caplog: pytest.LogCaptureFixture) -> bool:
    return bool(warnings(caplog))


async def hit(house: House, url: str, body: bytes) -> bool:
    return (await got(house, url, body))[0]


async def eventually(so: Callable[[], Awaitable[bool]]) -> None:
    """SQLite waits for ten seconds, and the store is down for a moment after that."""
    async with asyncio.timeout(30):
        while not await so():  # noqa: ASYNC110 - whoever knows is another process
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_others_go_on_when_one_is_stopped_while_it_writes(
    start_house: StartHouse,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hits are served, misses are passed on, storing fails with one warning and comes back."""
    monkeypatch.setattr(writer, "_DOWN_FOR", 0.5)
    house = await start_house({"cache": {"memory": "0"}})
    bodies = {f"/{number}": b"%d" % number * (10 + 3_000 * number) for number in range(12)}
    bodies["/large"] = LARGE
    for path, body in bodies.items():
        origin.serve(path, reply(200, FRESH, body=body))
        origin.serve(f"/new{path}", reply(200, FRESH, body=body))
        await got(house, origin.url(path), body)
    await tasks.finish(PUMP, DEADLINE)
    with stopped_while_it_writes(house.running.settings.store.dir):
        for _ in range(2):
            news = [got(house, origin.url(f"/new{path}"), body) for path, body in bodies.items()]
            olds = [got(house, origin.url(path), body) for path, body in bodies.items()]
            answers = await asyncio.gather(*news, *olds)
            assert all(hit for hit, _ in answers[len(news) :])
            assert max(took for _, took in answers) < SLACK
        _, took = await got(house, origin.url("/0"), bodies["/0"], "POST")
        assert took < 2 * SLACK
        # What was removed is not served, though it cannot be taken out of the database yet.
        assert not (await got(house, origin.url("/0"), bodies["/0"]))[0]
        await eventually(lambda: warned(caplog))
        assert len(warnings(caplog)) == 1
    await eventually(lambda: hit(house, origin.url("/new/7"), bodies["/7"]))
    assert len(warnings(caplog)) == 1
    await tasks.finish(PUMP, DEADLINE)
    for path, body in bodies.items():
        await got(house, origin.url(path), body)
