"""Several workers are one proxy: to clients, to origins, and to whoever looks inside."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.house import as_toml, configuration
from tests.support.origin import Gate, Origin, head, reply
from tests.support.wire import DEADLINE, Incoming, Wire, request
from tests.support.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.support.wire import Response

FRESH: Final = "Cache-Control: max-age=600"


@pytest.fixture
async def workers(start_process: StartProcess) -> AsyncIterator[Workers]:
    made = await Workers.start(start_process)
    yield made
    await made.close()


async def ask(wire: Wire, target: str) -> Response:
    await wire.send(request("GET", target))
    return await wire.response()


async def test_both_serve_and_what_they_count_is_added_up(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    (one,), (two,) = await workers.wires()
    answers = [await ask(one, origin.url("/a")) for _ in range(2)]
    await workers.get("/api/entry", url=origin.url("/a"))  # waits until it is stored
    answers += [await ask(two, origin.url("/a")) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"hello"] * 4
    assert [answer.hit for answer in answers] == [False, True, True, True]
    asked = 4 + sum(line["connections"] for line in await workers.lines())
    stats = await workers.counted(asked)
    lines = stats["workers"]
    assert [line["worker"] for line in lines] == [0, 1]
    assert len({line["pid"] for line in lines} | {workers.house.pid}) == 3
    assert sum(line["requests"] for line in lines) == stats["requests"] == asked
    assert stats["results"] == {"miss": 1, "hit": 3, "self": asked - 4}
    assert stats["hits"] == sum(line["hits"] for line in lines) == 3
    assert stats["top"]["urls"]["requests"][0]["requests"] == 4
    metrics = await workers.text("/metrics")
    assert re.search(r'result="hit",status_class="2xx"\} 3\.0', metrics)


async def test_a_loop_through_both_is_noticed(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", reply(200))
    (one,), (two,) = await workers.wires()
    assert (await ask(one, origin.url("/a"))).status == 200
    via = origin.requests[0].get("via")
    for wire in (one, two):
        await wire.send(request("GET", origin.url("/a"), [f"Via: {via}"]))
        assert (await wire.response()).status == 508


async def test_exchanges_of_both_are_found(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    (one,), (two,) = await workers.wires()
    for wire in (one, two):
        await ask(wire, origin.url("/a"))
    stats = await workers.counted(2 + sum(line["connections"] for line in await workers.lines()))
    listed = (await workers.get("/api/exchanges"))["exchanges"]
    assert len(listed) == stats["requests"]
    assert [each["start"] for each in listed] == sorted(
        (each["start"] for each in listed), reverse=True
    )
    ours = [each for each in listed if each["target"] == origin.url("/a")]
    assert {each["id"].partition(".")[0] for each in ours} == {"0", "1"}
    for each in ours:
        assert (await workers.get(f"/api/exchanges/{each['id']}"))["exchange"] == each
    await workers.get("/api/exchanges/1.00000000-1", 404)
    said = await workers.get("/api/explain", url=origin.url("/b"))
    assert "last" not in said


async def test_what_one_removes_is_no_hit_in_the_other(workers: Workers, origin: Origin) -> None:
    for body in (b"one", b"two", b"three"):
        origin.serve("/a", reply(200, FRESH, body=body))
    (one,), (two,) = await workers.wires()
    answers = [await ask(wire, origin.url("/a")) for wire in (one, two, one, two)]
    assert [answer.hit for answer in answers[2:]] == [True, True]
    await workers.post("/api/purge", url=origin.url("/a"))
    assert (await ask(two, origin.url("/a"))).body == b"two"
    assert (await ask(one, origin.url("/a"))).body == b"two"
    assert (await workers.post("/api/purge", prefix=origin.url("/")))["keys"] == 1
    assert (await ask(one, origin.url("/a"))).body == b"three"


async def test_what_is_on_its_way_in_another_worker_is_purged(
    workers: Workers, origin: Origin
) -> None:
    gate = Gate()
    origin.serve("/a", head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
    origin.serve("/a", reply(200, FRESH, body=b"anew"))
    (one,), (two,) = await workers.wires()
    await two.send(request("GET", origin.url("/a")))
    incoming = Incoming(two)
    assert await incoming.read(3) == b"one"
    (fill,) = (await workers.get("/api/fills"))["fills"]
    assert (fill["key"], fill["received"]) == (origin.url("/a"), 3)
    await workers.post("/api/purge", prefix=origin.url("/"))
    gate.open()
    assert await incoming.rest() == b"two"
    assert (await ask(one, origin.url("/a"))).body == b"anew"


async def test_many_misses_in_both_are_one_fetch(workers: Workers, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", gate, reply(200, FRESH, body=b"x" * 1000))
    one, two = await workers.wires(each=26)
    for wire in one[1:] + two[1:]:
        await wire.send(request("GET", origin.url("/a")))
    await gate.reached()
    # What these are answered after has come to the same loops before.
    for wire in (one[0], two[0]):
        assert (await ask(wire, "/healthz")).status == 200
    gate.open()
    answers = [await wire.response() for wire in one[1:] + two[1:]]
    assert {answer.body for answer in answers} == {b"x" * 1000}
    assert origin.count("/a") == 1
    collapsed = ["collapsed" in answer.cache_status for answer in answers]
    assert collapsed.count(True) == 49


async def test_a_stale_response_is_validated_once(workers: Workers, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"body"))
    origin.serve("/a", gate, reply(304, FRESH, 'ETag: "1"'))
    (one, other), (two, another) = await workers.wires(each=2)
    await ask(one, origin.url("/a"))
    await workers.post("/api/purge", url=origin.url("/a"), soft=True)
    for wire in (other, another):
        # From now on both have it in memory, and decide as soon as they are asked.
        await wire.send(request("GET", origin.url("/a"), ["Cache-Control: only-if-cached"]))
        assert (await wire.response()).status == 504
    for wire in (one, two):
        await wire.send(request("GET", origin.url("/a")))
    await gate.reached()
    for wire in (other, another):
        await ask(wire, "/healthz")
    gate.open()
    assert [(await wire.response()).body for wire in (one, two)] == [b"body"] * 2
    assert origin.count("/a") == 2


async def test_termination_drains_both(workers: Workers, origin: Origin) -> None:
    gates = Gate(), Gate()
    wires = [wire for (wire,) in await workers.wires()]
    readers = []
    for number, (wire, gate) in enumerate(zip(wires, gates, strict=True)):
        path = f"/{number}"
        origin.serve(path, head(200, FRESH, "Content-Length: 6") + b"one", gate, b"two")
        await wire.send(request("GET", origin.url(path)))
        readers.append(Incoming(wire))
        assert await readers[-1].read(3) == b"one"
    pids = await workers.pids()
    # As a terminal does it: everybody is told.
    for pid in (workers.house.pid, *pids):
        os.kill(pid, 15)
    while True:
        try:
            await (await Wire.connect(workers.house.port)).close()
        except ConnectionError:
            break
    for gate in gates:
        gate.open()
    assert [await reader.rest() for reader in readers] == [b"two"] * 2
    assert await workers.house.ended() == 0
    assert sum("stopping" in line for line in workers.house.log) == 1


async def test_a_second_proxy_on_the_port_is_refused(workers: Workers, tmp_path: Path) -> None:
    file = tmp_path / "second.toml"
    changes = {"server": {"listen": f"127.0.0.1:{workers.house.port}", "workers": 2}}
    file.write_text(as_toml(configuration(tmp_path, changes, [])))
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", "--config", str(file)),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE):
        _, said = await second.communicate()
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{workers.house.port}" in said.decode()


async def test_lines_in_the_log_are_whole(
    start_process: StartProcess, origin: Origin, tmp_path: Path
) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    workers = await Workers.start(start_process, 2, {"log": {"access": str(pipe)}})
    path = "/" + 8000 * "a"
    origin.serve(path, reply(200, FRESH))
    (one,), (two,) = await workers.wires()
    for wire in (one, two) * 20:
        assert (await ask(wire, origin.url(path))).status == 200
    async with asyncio.timeout(DEADLINE):
        while True:
            (waiting,) = struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, b"1234"))
            if waiting > 60_000:  # full, in the middle of a line
                break
            await asyncio.sleep(0.02)
    os.set_blocking(reading, True)
    with os.fdopen(reading) as lines:
        text = asyncio.create_task(asyncio.to_thread(lines.read))
        assert await workers.house.stop() == 0
        long = [line for line in (await text).splitlines() if "aaaa" in line]
    assert len(long) == 40
    ends = (" hit", " miss", " collapsed")
    assert all(origin.url(path) in line and line.endswith(ends) for line in long)
    await workers.close()


async def test_events_come_from_both(workers: Workers, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH))
    (one,), (two,) = await workers.wires()
    seen: set[str] = set()
    async with workers._session.get("/api/events") as events, asyncio.timeout(DEADLINE):
        async for line in events.content:
            if b"event: counters" in line and len(seen) < 2:
                await ask(one, origin.url("/a"))
                await ask(two, origin.url("/a"))
            if found := re.search(rb'"id":"(\d)\.', line):
                seen.add(found[1].decode())
            if seen == {"0", "1"}:
                break


async def test_auto_is_as_many_as_there_are_cores(start_process: StartProcess) -> None:
    house = await start_process({"server": {"workers": "auto"}})
    assert (await house.get("/healthz")).status == 200
    assert await house.stop() == 0
    cores = len(os.sched_getaffinity(0))
    started = [line for line in house.log if "workers:" in line]
    assert [len(line.partition("workers:")[2].split()) for line in started] == (
        [cores] if cores > 1 else []
    )
