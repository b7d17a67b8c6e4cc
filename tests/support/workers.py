"""A proxy of several workers as a command, and which of them a connection came to."""

from __future__ import annotations

import asyncio
import tempfile
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.support.wire import DEADLINE, Wire, request

if TYPE_CHECKING:
    from tests.conftest import StartProcess
    from tests.support.house import Config, ProcessHouse

_PAUSE: Final = 0.02  # seconds between questions about what has not come yet


class Workers:
    """``house`` is the supervisor; its admin endpoint is asked through a socket in a folder."""

    def __init__(self, house: ProcessHouse, folder: tempfile.TemporaryDirectory[str]) -> None:
        self.house = house
        self._folder = folder
        connector = aiohttp.UnixConnector(f"{folder.name}/admin")
        self._session = aiohttp.ClientSession("http://localhost", connector=connector)

    @classmethod
    async def start(
        cls, start_process: StartProcess, workers: int = 2, changes: Config | None = None
    ) -> Workers:
        """Started with changes to the configuration."""
        # The path of a socket is short, and those of pytest are not.
        folder = tempfile.TemporaryDirectory()
        config: Config = {"admin": {"listen": f"unix:{folder.name}/admin"}, **(changes or {})}
        config["server"] = {"workers": workers, **config.get("server", {})}
        return cls(await start_process(config), folder)

    async def close(self) -> None:
        """The process itself is its fixture's."""
        await self._session.close()
        self._folder.cleanup()

    async def get(self, path: str, status: int = 200, /, **query: str) -> Any:
        async with self._session.get(path, params=query) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def text(self, path: str) -> str:
        async with self._session.get(path) as answer:
            return await answer.text()

    async def post(self, path: str, /, **order: object) -> Any:
        async with self._session.post(path, json=order) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def lines(self) -> list[dict[str, Any]]:
        """One for each worker."""
        lines: list[dict[str, Any]] = (await self.get("/api/stats"))["workers"]
        return lines

    async def pids(self) -> list[int]:
        """When all workers answer."""
        async with asyncio.timeout(DEADLINE):
            while True:
                lines = await self.lines()
                if not any("silent" in line for line in lines):
                    return [line["pid"] for line in lines]
                await asyncio.sleep(_PAUSE)

    async def counted(self, requests: int) -> Any:
        """The statistics once they have that many requests: records come in batches."""
        async with asyncio.timeout(DEADLINE):
            while True:
                stats = await self.get("/api/stats")
                if stats["requests"] >= requests:
                    return stats
                await asyncio.sleep(_PAUSE)

    async def wire(self) -> tuple[int, Wire]:
        """A fresh connection, and the number of the worker that it came to."""
        before = [line["connections"] for line in await self.lines()]
        wire = await self.house.wire()
        # Answered, it is sure to have been accepted.
        await wire.send(request("GET", "/healthz"))
        assert (await wire.response()).status == 200
        after = [line["connections"] for line in await self.lines()]
        (number,) = (n for n, (b, a) in enumerate(zip(before, after, strict=True)) if a > b)
        return number, wire

    async def wires(self, each: int = 1) -> list[list[Wire]]:
        """So many connections to each of the workers, by number."""
        found: list[list[Wire]] = [[] for _ in await self.lines()]
        while any(len(wires) < each for wires in found):
            number, wire = await self.wire()
            if len(found[number]) < each:
                found[number].append(wire)
        return found
