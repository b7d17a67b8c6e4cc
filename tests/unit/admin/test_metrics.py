"""The exposition: valid by Prometheus' own tool, and no longer for what clients do."""

import shutil
import subprocess

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.admin.metrics import CONTENT_TYPE, Gauges, exposition
from proxy.admin.statistics import BOUNDS, Statistics
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason
from tests.support.watched import feed

param = pytest.param

GAUGES = Gauges(
    entries=5,
    size=1000,
    size_limit=4000,
    evictions={"unused": 2, "damaged": 1},
    stores={"stored": 7, "failed": 1},
    fills=3,
    tunnels=4,
    connections=6,
    log_dropped=8,
)


def record(
    reason: Reason,
    method: str = "GET",
    status: int = 200,
    elapsed: float = 0.02,
    asked: float = 0.0,
    target: str = "http://a.example/",
) -> ExchangeRecord:
    what = What(method, target, 1, status, 100, reason, asked=asked)
    return ExchangeRecord(1.7e9, elapsed, "127.0.0.1", what)


def exposed(*records: ExchangeRecord, gauges: Gauges = GAUGES) -> bytes:
    statistics = Statistics(0.0)
    feed(statistics.take, records)
    return exposition(statistics.snapshot(), gauges)


def families(text: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def value(text: bytes, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return found


RECORDS = (
    record(Reason.HIT),
    record(Reason.HIT, elapsed=0.0),
    record(Reason.MISS, status=404, elapsed=100.0, asked=0.5),
    record(Reason.REVALIDATED, asked=0.004),
    record(Reason.EXPIRED, asked=-1.0),  # a clock was set back
    record(Reason.STALE_IF_ERROR),
    record(Reason.COLLAPSED),
    record(Reason.DENIED_PORT, "CONNECT", 403),
    record(Reason.TUNNEL, "CONNECT"),
)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        param(
            "requests_total", {"method": "GET", "result": "hit", "status_class": "2xx"}, 2,
            id="requests",
        ),
        param("response_bytes_total", {"source": "cache"}, 500, id="octets from the cache"),
        param("response_bytes_total", {"source": "origin"}, 200, id="octets from origins"),
        param("request_duration_seconds_count", {"result": "hit"}, 5, id="durations counted"),
        param("request_duration_seconds_sum", {"result": "miss"}, 100.02, id="durations summed"),
        param("upstream_duration_seconds_count", {}, 2, id="who asked an origin"),
        param("upstream_duration_seconds_sum", {}, 0.504, id="origins summed"),
        param("upstream_duration_seconds_bucket", {"le": "0.005"}, 1, id="origins by duration"),
        param(
            "request_duration_seconds_bucket", {"result": "hit", "le": "0.001"}, 1,
            id="the first bucket",
        ),
        param(
            "request_duration_seconds_bucket", {"result": "hit", "le": "0.025"}, 5,
            id="buckets add up",
        ),
        param(
            "request_duration_seconds_bucket", {"result": "miss", "le": "60.0"}, 1,
            id="the last bound",
        ),
        param(
            "request_duration_seconds_bucket", {"result": "miss", "le": "+Inf"}, 2, id="beyond it"
        ),
        param("collapsed_requests_total", {}, 1, id="collapsed"),
        param("stale_served_total", {"cause": "stale-if-error"}, 1, id="stale"),
        param("stale_served_total", {"cause": "stale-allowed"}, 0, id="zeros are said"),
        param("denied_total", {"rule": "ports"}, 1, id="denied"),
        param("cache_entries", {}, 5, id="entries"),
        param("cache_size_bytes", {}, 1000, id="size"),
        param("cache_size_limit_bytes", {}, 4000, id="limit"),
        param("cache_evictions_total", {"reason": "unused"}, 2, id="evictions"),
        param("cache_evictions_total", {"reason": "damaged"}, 1, id="damage"),
        param("cache_stores_total", {"outcome": "stored"}, 7, id="stores"),
        param("inflight_fills", {}, 3, id="fills"),
        param("tunnels_open", {}, 4, id="tunnels"),
        param("connections_open", {}, 6, id="connections"),
        param("log_records_dropped_total", {}, 8, id="log lines"),
        param("build_info", {"version": __version__}, 1, id="build"),
    ],
)  # fmt: skip
def test_each_metric(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(exposed(*RECORDS), f"forecache_{name}", **labels) == expected


def test_time_saved() -> None:
    statistics = Statistics(0.0)
    feed(statistics.take, [record(Reason.MISS, elapsed=0.5)])
    feed(statistics.take, [record(Reason.HIT, elapsed=0.0)] * 4)
    text = exposition(statistics.snapshot(), GAUGES)
    assert value(text, "forecache_saved_seconds_total") == 2.0


def test_every_name_is_ours_and_explained() -> None:
    found = families(exposed(*RECORDS))
    assert len(found) > 15
    for name, family in found.items():
        assert name.startswith("forecache_")
        assert family.documentation.endswith(".")
        assert family.type != "unknown"
    assert CONTENT_TYPE.startswith("text/plain")


def test_clients_cannot_make_it_longer() -> None:
    """Methods, statuses and targets are the client's, or a hostile origin's, to choose."""
    one = exposed(record(Reason.METHOD, "BREW", 999))
    many = exposed(
        *(
            record(Reason.METHOD, f"M{n}\n{{}}", 600 + n, target=f"http://{n}.example/")
            for n in range(300)
        )
    )
    assert len(many.splitlines()) == len(one.splitlines())
    assert b"M1" not in many
    labels = {"method": "other", "result": "method", "status_class": "other"}
    assert value(many, "forecache_requests_total", **labels) == 300


def test_buckets_are_those_of_the_statistics() -> None:
    family = families(exposed(*RECORDS))["forecache_request_duration_seconds"]
    held = [s for s in family.samples if s.name.endswith("_bucket") and s.labels["result"] == "own"]
    assert [s.labels["le"] for s in held] == [*map(str, BOUNDS), "+Inf"]


@pytest.mark.parametrize("gauges", [param(GAUGES, id="busy"), param(Gauges(), id="at rest")])
def test_promtool_is_content(gauges: Gauges) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    text = exposed(*(RECORDS if gauges is GAUGES else ()), gauges=gauges)
    run = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")
