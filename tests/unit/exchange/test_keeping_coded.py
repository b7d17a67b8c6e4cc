"""Coded bodies on their way into the store: how long they are looked at, and what comes of them."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from proxy.codings.options import CodingOptions
from proxy.exchange import tasks
from proxy.exchange.fill import FillState
from proxy.exchange.flights import Flights
from proxy.exchange.keeping import PUMP, Keeping
from proxy.exchange.transcoding import Workshop
from proxy.semantics.units import Octets
from tests.support.build import resp
from tests.support.fakes import FakeResponse, FakeStore, Step
from tests.support.origin import Gate
from tests.support.stored import stored

if TYPE_CHECKING:
    from proxy.exchange.fill import Fill

KEY = "http://a.example/x"
GZIPPED: Final = stored("max-age=60", "Content-Encoding: gzip")
BOMB: Final = gzip.compress(bytes(2**28))  # 256 kB for 256 MiB: half a second


class Place:
    """What keeps, with a workshop without a limit for what becomes of a body."""

    def __init__(self, finish: Octets = Octets(0), ratio: int = 0) -> None:
        self.store = FakeStore()
        self.shop = Workshop(CodingOptions(max_ratio=ratio))
        self.keeping = Keeping(self.store, Flights(), finish, self.shop)

    def begin(self, *steps: Step) -> Fill:
        response = FakeResponse(resp(200, "Content-Encoding: gzip"), steps, None)
        return self.keeping.begin(KEY, replace(GZIPPED), response, 0, None, None)

    async def is_busy(self) -> bool:
        """Whether anything has been decoded in some turns of the loop."""
        before = self.shop.counts.seconds
        for _ in range(20):
            await asyncio.sleep(0.001)
        return self.shop.counts.seconds > before


async def test_what_is_given_up_is_not_decoded_any_more() -> None:
    place, gate = Place(), Gate()
    fill = place.begin(gate, BOMB, b"more")
    reader = fill.reader()
    gate.open()
    assert await reader.read() == BOMB
    assert await place.is_busy()
    reader.close()
    await tasks.finish(PUMP, 5.0)
    assert fill.state is FillState.BROKEN
    assert not await place.is_busy()
    assert place.keeping.ended["incomplete"] == 1
    place.shop.close()


@pytest.mark.parametrize("steps", [1, 2], ids=["at hand", "streamed"])
async def test_what_grows_by_more_is_passed_on_and_not_stored(steps: int) -> None:
    place, gate = Place(ratio=1000), Gate()
    gate.open()
    fill = place.begin(BOMB) if steps == 1 else place.begin(gate, BOMB)
    reader = fill.reader()
    octets = b""
    while piece := await reader.read():
        octets += piece
    await tasks.finish(PUMP, 5.0)
    assert (octets, place.store.at(KEY)) == (BOMB, ())
    assert place.keeping.ended["too-costly"] == 1
    place.shop.close()


async def test_who_takes_the_coding_does_not_wait_for_the_proxy_to_decode_it() -> None:
    place, gate = Place(), Gate()
    fill = place.begin(gate, BOMB)
    reader = fill.reader()
    gate.open()
    assert await reader.read() == BOMB
    assert fill.state is FillState.FLOWING
    await tasks.finish(PUMP, 10.0)
    assert place.keeping.ended["stored"] == 1
    place.shop.close()
