"""What watches exchanges, given records as the access log's thread gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.admin.watching import Watching
    from proxy.exchange.record import ExchangeRecord


def watch(watching: Watching, *records: ExchangeRecord) -> None:
    """A batch of these for all who are to have it."""
    for consumer in watching.consumers:
        consumer(records)
