"""An exchange on a fake store and a fake origin, asked as the door asks it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.exchange import tasks
from proxy.exchange.answer import FileSpan, Flow, Inbound, Inline, release
from proxy.exchange.exchange import Exchange
from proxy.exchange.keeping import PUMP
from proxy.exchange.options import ExchangeOptions
from proxy.exchange.voice import Voice
from proxy.policy.options import Options
from tests.support.build import req
from tests.support.fakes import FakeFetcher, FakeStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.exchange.answer import Outcome
    from proxy.policy.reasons import Reason
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead
    from proxy.upstream.base import RequestBody

URL: Final = "http://a.example/x"
PSEUDONYM: Final = "forecache-test"
_ENOUGH: Final = 5.0


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got, and why."""

    status: int
    body: bytes
    fields: Fields
    reason: Reason
    forward_status: int

    def said(self, name: str) -> str:
        return self.fields.get(name) or ""


class Bench:
    """``store``, ``fetcher`` and the ``exchange`` between them.

    ``beside`` another one it has the same store and the same origin.
    """

    def __init__(
        self,
        options: Options | None = None,
        own: ExchangeOptions | None = None,
        *,
        beside: Bench | None = None,
    ) -> None:
        self.store: FakeStore = FakeStore() if beside is None else beside.store
        self.fetcher: FakeFetcher = FakeFetcher() if beside is None else beside.fetcher
        voice = Voice(PSEUDONYM)
        self.exchange = Exchange(
            self.store, self.fetcher, options or Options(), own or ExchangeOptions(), voice
        )
        self.interim: list[ResponseHead] = []

    @property
    def asked(self) -> int:
        """How many requests the origin has seen."""
        return len(self.fetcher.requests)

    async def open(
        self, line: str = f"GET {URL}", *lines: str, body: RequestBody | None = None
    ) -> Outcome:
        """The outcome, its body still to be read."""
        inbound = Inbound(req(line, *lines), body, None, self.interim.append)
        return await self.exchange.handle(inbound)

    def start(self, line: str = f"GET {URL}", *lines: str) -> asyncio.Task[Outcome]:
        """A client of its own; it begins before anything that is woken later."""
        return asyncio.create_task(self.open(line, *lines))

    async def get(
        self, line: str = f"GET {URL}", *lines: str, body: RequestBody | None = None
    ) -> Got:
        """The whole answer, when all that goes on behind it has ended."""
        got = await whole(await self.open(line, *lines, body=body))
        await self.settled()
        return got

    async def settled(self) -> None:
        """Fills, commits and validations behind answers have ended."""
        await tasks.finish(PUMP, _ENOUGH)


async def whole(outcome: Outcome) -> Got:
    """Read an answer to its end, as the sender does."""
    answer = outcome.answer
    try:
        body = await _octets(outcome)
    finally:
        release(answer.body)
    head = answer.head
    return Got(head.status, body, head.fields, outcome.reason, outcome.forward_status)


async def answers(clients: Sequence[asyncio.Task[Outcome]]) -> list[Got]:
    """What each of them got."""
    return [await whole(await client) for client in clients]


async def _octets(outcome: Outcome) -> bytes:
    body = outcome.answer.body
    if isinstance(body, Inline):
        return body.data
    octets = b""
    if isinstance(body, FileSpan):
        while left := body.length - len(octets):
            octets += await body.body.read_at(body.offset + len(octets), left)
        return octets
    assert isinstance(body, Flow)
    while piece := await body.reader.read():
        octets += piece
    assert body.length in {None, len(octets)}, "not the length that was announced"
    return octets
