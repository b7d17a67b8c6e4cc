"""Flights of other workers: who finds that another one asks the origin waits until it is over.

There is nobody to tell him. So he looks again and again whether the lease is free, which costs a
system call; what he waits for takes longer than what he may come late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.exchange.flights import Flight, Flights
    from proxy.exchange.origin import Errand
    from proxy.policy.stored import StoredResponse
    from proxy.store.base import Store

PATIENCE: Final = 2.0  # seconds: what takes longer each worker fetches for itself
SHORTEST: Final = 0.002  # seconds between two looks, at first
LONGEST: Final = 0.02


async def stored(
    flights: Flights, flight: Flight, store: Store, errand: Errand
) -> tuple[StoredResponse, ...] | None:
    """What another worker has stored since it was looked up. None: nothing, ask the origin.

    Who had to wait holds no lease after that: what is of no use to him is of none to others either,
    and all of them ask for themselves at the same time.
    """
    if flights.lease(flight):
        if store.generation(errand.key) == errand.found.generation:
            return None
    elif await _freed(flights, flight, store, errand.key):
        flights.unlease(flight)
    else:
        return None
    found = await store.lookup(errand.key)
    return found.variants if found.variants != errand.found.variants else None


async def _freed(flights: Flights, flight: Flight, store: Store, key: str) -> bool:
    waited, pause = 0.0, SHORTEST
    # What comes of a flight from before a removal is not stored.
    while waited < PATIENCE and store.removals(key) == flight.removals:
        await asyncio.sleep(pause)
        if flights.lease(flight):
            return True
        waited += pause
        pause = min(2 * pause, LONGEST)
    return False
