"""The metrics of Prometheus, from a ``Snapshot`` and the gauges of the moment.

Label values come from closed sets of this program: a client can make none of them, so that no
number of requests makes the exposition longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.admin.statistics import BOUNDS, STALE
from proxy.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from proxy.admin.statistics import Durations, Snapshot

# Of the text format that every Prometheus reads.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_DENIED: Final = {
    Reason.DENIED_CLIENT: "clients",
    Reason.DENIED_DESTINATION: "destinations",
    Reason.DENIED_PORT: "ports",
    Reason.DENIED_PURGE: "purge_clients",
}


@dataclass(frozen=True, slots=True)
class Gauges:
    """What others know: the store in octets and responses, what is under way now.

    ``evictions`` by reason and ``stores`` by outcome are counted since the start; whoever passes
    them sees to it that their names are few.
    """

    entries: int = 0
    size: int = 0
    size_limit: int = 0
    evictions: Mapping[str, int] = field(default_factory=dict)
    stores: Mapping[str, int] = field(default_factory=dict)
    fills: int = 0
    tunnels: int = 0
    connections: int = 0
    log_dropped: int = 0


class _Exchanges(Collector):
    def __init__(self, snapshot: Snapshot, gauges: Gauges) -> None:
        self._snapshot = snapshot
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        build = InfoMetricFamily("forecache_build", "The program that runs.")
        build.add_metric([], {"version": __version__})
        yield build
        yield from _requests(self._snapshot)
        yield from _store(self._gauges)
        yield from _now(self._gauges)


def exposition(snapshot: Snapshot, gauges: Gauges) -> bytes:
    """All metrics in the text format; goes with ``CONTENT_TYPE``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exchanges(snapshot, gauges))
    return generate_latest(registry)


def _counter(name: str, text: str, label: str, counted: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counted.items():
        family.add_metric([value], count)
    return family


def _requests(snapshot: Snapshot) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "forecache_requests",
        "Requests by method, by the reason word of their answer, and by class of status.",
        labels=["method", "result", "status_class"],
    )
    for method, result, status_class, count in snapshot.kinds:
        requests.add_metric([method, result, status_class], count)
    yield requests
    yield _counter(
        "forecache_response_bytes",
        "Octets of heads and bodies sent to clients, by where they came from.",
        "source",
        snapshot.octets,
    )
    durations = HistogramMetricFamily(
        "forecache_request_duration_seconds",
        "From the arrival of a request to the end of its answer.",
        labels=["result"],
    )
    for group, lasted in snapshot.durations.items():
        durations.add_metric([group], _buckets(lasted), lasted.total)
    yield durations
    yield HistogramMetricFamily(
        "forecache_upstream_duration_seconds",
        "From asking an origin to the head of its response.",
        _buckets(snapshot.asking),
        snapshot.asking.total,
    )
    results = snapshot.results
    yield CounterMetricFamily(
        "forecache_collapsed_requests",
        "Requests answered by what another one was fetching.",
        snapshot.collapsed,
    )
    yield _counter(
        "forecache_stale_served",
        "Stale responses served, by what allowed it.",
        "cause",
        {reason.value: results.get(reason, 0) for reason in sorted(STALE)},
    )
    yield _counter(
        "forecache_denied",
        "Requests refused, by the setting under [access].",
        "rule",
        {rule: results.get(reason, 0) for reason, rule in _DENIED.items()},
    )
    yield CounterMetricFamily(
        "forecache_saved_seconds",
        "Time that clients did not wait: hits, had each taken as long as the mean miss.",
        snapshot.saved_seconds,
    )


def _buckets(lasted: Durations) -> list[tuple[str, float]]:
    bounds = [*map(str, BOUNDS), "+Inf"]
    return [(bound, float(n)) for bound, n in zip(bounds, accumulate(lasted.counts), strict=True)]


def _store(gauges: Gauges) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "forecache_cache_entries", "Keys with stored responses.", gauges.entries
    )
    yield GaugeMetricFamily("forecache_cache_size_bytes", "Octets that are stored.", gauges.size)
    yield GaugeMetricFamily(
        "forecache_cache_size_limit_bytes", "Octets that may be stored.", gauges.size_limit
    )
    yield _counter(
        "forecache_cache_evictions", "Responses evicted, by reason.", "reason", gauges.evictions
    )
    yield _counter(
        "forecache_cache_stores", "Responses on their way in, by outcome.", "outcome", gauges.stores
    )


def _now(gauges: Gauges) -> Iterator[Metric]:
    yield GaugeMetricFamily("forecache_inflight_fills", "Bodies on their way in.", gauges.fills)
    yield GaugeMetricFamily("forecache_tunnels_open", "Open tunnels.", gauges.tunnels)
    yield GaugeMetricFamily(
        "forecache_connections_open", "Open client connections.", gauges.connections
    )
    yield CounterMetricFamily(
        "forecache_log_records_dropped",
        "Lines that the access log had no time for.",
        gauges.log_dropped,
    )
