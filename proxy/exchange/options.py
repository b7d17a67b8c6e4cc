"""What a person may decide about exchanges."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.semantics.units import Seconds


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """``finish_fill``: how long a fill whose clients have all gone may go on, part of ``[cache]``;

    ``x_cache``: add ``X-Cache: HIT|MISS``, part of ``[server]``."""

    finish_fill: Seconds = Seconds(600.0)
    x_cache: bool = False
