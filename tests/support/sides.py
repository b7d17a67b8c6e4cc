"""Both sides of the differential test: an origin that is asked directly, and one behind the proxy.

They live on a loop in a thread for as long as many rows need, so that a row costs what it asks.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.support.asking import Stage
from tests.support.house import House
from tests.support.origin import Origin
from tests.support.rows import Row, compared, played

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

T = TypeVar("T")
# No row takes longer, however many answers stay away.
ROW: float = 50.0


class Sides:
    """One proxy with its defaults and two origins; each row has a path of its own there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._number = 0
        self._direct, self._origin = Origin(), Origin()
        self._house = self._run(self._start())

    def check(self, row: Row) -> None:
        """The row as a test."""
        self._number += 1
        placed = replace(row, path=f"/{self._number}{row.path}")
        if found := self._run(self._differences(placed)):
            pytest.fail("\n".join([*row.lines(), *found]), pytrace=False)
        prefix = f"/{self._number}/"
        asked = [r.start for r in self._origin.requests if r.target.startswith(prefix)]
        assert len(asked) <= row.most, asked

    def served(self, row: Row) -> tuple[tuple[str, str], tuple[str, str]]:
        """The row's URL and no proxy, its URL at the other origin and the proxy; for programs."""
        self._number += 1
        return self._run(self._served(row, f"/{self._number}{row.path}"))

    async def _served(self, row: Row, path: str) -> tuple[tuple[str, str], tuple[str, str]]:
        for origin in (self._direct, self._origin):
            origin.serve(path, *row.origin.script(Stage()))
        return (self._direct.url(path), ""), (self._origin.url(path), self._house.url)

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(ROW)

    async def _start(self) -> House:
        await self._direct.start()
        await self._origin.start()
        return await House.start(self._folder, {}, [self._origin.port])

    async def _stop(self) -> None:
        await self._house.stop()
        await self._origin.stop()
        await self._direct.stop()

    async def _differences(self, row: Row) -> list[str]:
        direct = await played(row, self._direct, None)
        wholes = await played(row.wholes(), self._direct, None)
        if not row.config:
            proxied = await played(row, self._origin, self._house)
            return compared(row, direct, proxied, wholes)
        folder = self._folder / str(self._number)
        folder.mkdir()
        house = await House.start(folder, row.config, [self._origin.port])
        try:
            return compared(row, direct, await played(row, self._origin, house), wholes)
        finally:
            await house.stop()
