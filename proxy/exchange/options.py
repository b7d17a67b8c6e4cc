"""What a person may decide about exchanges."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.semantics.units import Octets, Seconds


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """``finish_fill``: how much may be missing of a fill whose clients have all gone for it to go

    on, or for how long it may; part of ``[cache]``. ``x_cache``: add ``X-Cache: HIT|MISS``, part of
    ``[server]``."""

    finish_fill: Octets | Seconds = Octets(4 * 2**20)
    x_cache: bool = False
