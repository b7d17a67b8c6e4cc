"""The admin endpoint of a proxy in this process, asked as a program asks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from tests.support.house import House

HERE: Final = {"admin": {"listen": "127.0.0.1:0"}}


class Admin:
    """Asks the endpoint of one proxy."""

    def __init__(self, house: House) -> None:
        server = house.running.admin
        assert server is not None
        self.house = house
        self.url = f"http://{server.address}"
        self.session = aiohttp.ClientSession()

    async def get(self, path: str, status: int = 200, /, **query: str | list[str]) -> Any:
        async with self.session.get(self.url + path, params=query) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def post(self, path: str, status: int = 200, /, **order: object) -> Any:
        async with self.session.post(self.url + path, json=order) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def counted(self, requests: int) -> Any:
        """The statistics once they have that many requests: records come in batches."""
        while True:
            stats = await self.get("/api/stats")
            if stats["requests"] >= requests:
                return stats
            await asyncio.sleep(0.05)
