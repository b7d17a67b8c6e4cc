"""What a body holds open is let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.exchange.answer import FileSpan, Flow, Inline, Tunnel, release
from tests.support.build import resp
from tests.support.fakes import FakeBody, FakeResponse

if TYPE_CHECKING:
    from proxy.semantics.messages import ResponseHead


class Switched:
    """An ``Upgraded`` connection."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.closed = 0

    async def sent(self) -> None:
        """There was no content."""

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        return asyncio.Transport(), b""

    def close(self) -> None:
        self.closed += 1


def test_release() -> None:
    body, reader, tunnel = FakeBody(b"abc"), FakeResponse(resp(200), (), None), Switched()
    for held in (FileSpan(body, 0, 3), Flow(reader, None), Tunnel(tunnel), Inline(b"abc")):
        release(held)
    assert (body.closed, reader.closed, tunnel.closed) == (1, 1, 1)
