"""Fixtures of the tests on real sockets, and the guard against leaks."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

from tests.support import auditor
from tests.support.admin import HERE, Admin
from tests.support.house import Config, House, ProcessHouse
from tests.support.origin import Origin
from tests.support.sides import Sides

settings.register_profile("quick", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half as many again as there are cores: a test in three waits for something."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """``FORECACHE_TEST_LOOP=uvloop`` runs everything in this process on uvloop."""
    if os.environ.get("FORECACHE_TEST_LOOP") == "uvloop":
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


StartHouse = Callable[..., Awaitable[House]]
StartAdmin = Callable[..., Awaitable[Admin]]
StartProcess = Callable[..., Awaitable[ProcessHouse]]


def descriptors() -> set[str]:
    """What this process holds open: sockets and files by name."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except FileNotFoundError:
            continue
    # A loop makes its own pair of UNIX sockets, when it likes; nothing else here uses any.
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return found - {f"socket:[{line.split()[6]}]" for line in lines}


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """No task and no descriptor outlives the proxy and the origin of a test."""
    before = descriptors()
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    running = {task for task in tasks if not task.done()}
    assert not running, f"tasks left: {running}"
    for _ in range(3):
        # A closed transport gives its socket back in the next turn of the loop.
        await asyncio.sleep(0)
    gc.collect()
    opened = descriptors() - before
    assert not opened, f"descriptors left: {opened}"


@pytest.fixture
async def origin(no_leaks: None) -> AsyncIterator[Origin]:
    """A plain origin on a free port of 127.0.0.1; what it was asked is audited in the end."""
    server = Origin()
    await server.start()
    yield server
    await server.stop()
    for received in server.requests:
        assert not (refused := auditor.requests(received.raw).refused), (refused, received.raw)


@pytest.fixture
async def direct(no_leaks: None) -> AsyncIterator[Origin]:
    """Another, which is asked without the proxy."""
    server = Origin()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """A proxy and two origins for many rows."""
    made = Sides(tmp_path_factory.mktemp("sides"))
    yield made
    made.close()


@pytest.fixture
async def start_house(origin: Origin, tmp_path: Path) -> AsyncIterator[StartHouse]:
    """Starts the proxy in this process with changes to the configuration."""
    houses: list[House] = []

    async def start(changes: Config | None = None, ports: tuple[int, ...] = ()) -> House:
        folder = tmp_path / f"house{len(houses)}"
        folder.mkdir()
        houses.append(await House.start(folder, changes or {}, [origin.port, *ports]))
        return houses[-1]

    yield start
    for house in houses:
        await house.stop()


@pytest.fixture
async def house(start_house: StartHouse) -> House:
    """The proxy in this process with its defaults."""
    return await start_house()


@pytest.fixture
async def start_admin(start_house: StartHouse) -> AsyncIterator[StartAdmin]:
    """Starts a proxy in this process with an admin endpoint, and changes to the configuration."""
    made: list[Admin] = []

    async def start(changes: Config | None = None) -> Admin:
        made.append(Admin(await start_house({**HERE, **(changes or {})})))
        return made[-1]

    yield start
    for admin in made:
        await admin.session.close()


@pytest.fixture
async def admin(start_admin: StartAdmin) -> Admin:
    """The admin endpoint of a proxy with its defaults."""
    return await start_admin()


@pytest.fixture
async def start_process(origin: Origin, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts the proxy as a command with changes to the configuration."""
    houses: list[ProcessHouse] = []

    async def start(
        changes: Config | None = None,
        ports: tuple[int, ...] = (),
        environ: dict[str, str] | None = None,
        files: int = 0,
    ) -> ProcessHouse:
        folder = tmp_path / f"process{len(houses)}"
        folder.mkdir()
        house = ProcessHouse(folder, changes or {}, [origin.port, *ports])
        houses.append(house)
        await house.start(environ, files)
        return house

    yield start
    for house in houses:
        await house.stop()


@pytest.fixture
async def process(start_process: StartProcess) -> ProcessHouse:
    """The proxy as a command with its defaults."""
    return await start_process()
