"""Server-sent events: made once a beat, for everybody who watches, while anybody does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.admin import views
from proxy.admin.server import encoded
from proxy.bounded import Ring

if TYPE_CHECKING:
    from proxy.admin.everywhere import Places
    from proxy.admin.inside import Inside

BEAT: Final = 1.0  # seconds between events
_SAMPLE: Final = 100  # exchanges in each
_LONGEST: Final = 2**19  # octets of those
_KEPT: Final = 8  # for who comes late
_OCTETS: Final = 2**21


class _Block(NamedTuple):
    number: int
    octets: bytes


class Events:
    """Counters each beat, and exchanges, a sample of them when busy."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._blocks: Ring[_Block] = Ring("events", _OCTETS, lambda it: len(it.octets), _KEPT)
        self._number = 0
        self._made = 0.0  # when, on the loop's clock
        self._counters = b""
        self._places: Places = {}
        self._making = asyncio.Lock()

    async def begin(self) -> tuple[bytes, int]:
        """What is so now, and the number to go on from."""
        async with self._making:
            idle = asyncio.get_running_loop().time() - self._made
            if idle > 2 * BEAT:
                # Nobody has watched: what ended meanwhile is for nobody.
                _, self._places = await self._inside.everywhere.after({}, _SAMPLE)
            if idle > BEAT:
                await self._make()
        return self._counters, self._number

    async def after(self, number: int) -> tuple[bytes, int]:
        """What has come since, made now if nobody was told anything new; and the latest number."""
        async with self._making:
            if self._number <= number:
                await self._make()
        octets = b"".join(block.octets for block in self._blocks if block.number > number)
        return octets, self._number

    async def _make(self) -> None:
        self._counters = _event("counters", await self._inside.counters())
        # The last wait: who leaves before takes nothing from the others.
        exchanges, self._places = await self._inside.everywhere.after(self._places, _SAMPLE)
        lines, size = [self._counters], 0
        for each in exchanges:
            lines.append(_event("exchange", views.exchange(each)))
            size += len(lines[-1])
            if size > _LONGEST:
                break
        self._number += 1
        self._made = asyncio.get_running_loop().time()
        self._blocks.add([_Block(self._number, b"".join(lines))])


def _event(name: str, value: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encoded(value))
