"""What one request has to do with the origin, handed from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.exchange.answer import Inbound
    from proxy.exchange.flights import Flight
    from proxy.exchange.origin import Wanted
    from proxy.store.base import Found


@dataclass(slots=True)
class Errand:
    """For whom, under which key, what is stored there, and what is wanted of the origin.

    ``flight``: others wait for the outcome. ``since`` is the store's count of removals from before
    the origin was asked. ``as_asked``: it is asked with the client's own Accept-Encoding.
    """

    inbound: Inbound
    key: str
    found: Found
    wanted: Wanted
    flight: Flight | None = None
    since: int = 0
    as_asked: bool = False

    @property
    def by_range(self) -> bool:
        """Whether the client's own Range is what the origin is asked with."""
        return self.wanted.conditional is None and "range" in self.inbound.request.fields
