"""What watches exchanges, given records as the access log's thread gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.admin.batches import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.admin.accesslog import Consumer
    from proxy.admin.watching import Watching
    from proxy.exchange.record import ExchangeRecord


def feed(consumer: Consumer, records: Sequence[ExchangeRecord]) -> None:
    """All of these, as the access log hands them on."""
    for batch in batches(records):
        consumer(batch)


def watch(watching: Watching, *records: ExchangeRecord) -> None:
    """A batch of these for all who are to have it."""
    for consumer in watching.consumers:
        feed(consumer, records)
