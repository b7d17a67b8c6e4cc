"""A large catalogue: 30,000 entries, or a million with FORECACHE_LONG=1. Prints its figures."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from proxy.policy.options import Options
from proxy.store.catalogue import Catalogue
from proxy.store.catalogue_queries import Everything, Prefix, Query
from proxy.store.disk import INDEX
from tests.support.large_store import BULK, NOW, fill

LONG = os.environ.get("FORECACHE_LONG") == "1"
COUNT = 1_000_000 if LONG else 30_000
# A page takes less than 50 ms where nobody else needs the processor; here others may.
LONGEST_PAGE = 0.1

SORTS = ["used", "size", "age", "hits", "expires", "url"]
FILTERS: dict[str, dict[str, str]] = {
    "all": {},
    "host": {"host": "h17.example"},
    "large host": {"host": "bulk.example"},
    "prefix": {"prefix": BULK},
    "wide prefix": {"prefix": "http://h"},
    "fresh": {"state": "fresh"},
    "stale": {"state": "stale"},
    "q": {"q": "nowhere to be found"},
    "tag": {"tag": "shelf-0"},
    "wide tag": {"tag": "all-tens"},
    "wide tag of a host": {"tag": "all-tens", "host": "h17.example"},
    "no tag": {"tag": "none"},
}


def timed(call: Callable[[], object]) -> float:
    """The least of three, in seconds: what it takes when it is not interrupted."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.timeout(900 if LONG else 120)
def test_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, COUNT)
    catalogue, figures = Catalogue(tmp_path, Options()), []
    began, cpu = time.perf_counter(), time.process_time()
    while (progress := catalogue.catch_up(5000)).left:
        pass
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert progress == (COUNT, 0, 0)
    size = sum(path.stat().st_size for path in tmp_path.glob(f"{INDEX}*"))
    figures.append(f"{COUNT} entries: {took:.1f} s, {cpu:.1f} s of CPU, {size / 2**20:.0f} MiB")
    for name, values in FILTERS.items():
        queries = [
            Query(sort=sort, descending=down, **values)  # type: ignore[arg-type]
            for sort in SORTS
            for down in (False, True)
        ]
        times = [timed(partial(catalogue.page, query, NOW)) for query in queries]
        assert max(times) < LONGEST_PAGE, name
        each = " ".join(f"{1000 * one:.1f}" for one in times)
        figures.append(f"page, {name}, ms ({', '.join(SORTS)}, each up and down): {each}")
    bulk = Prefix(BULK)
    assert catalogue.count(bulk)[0] == len(catalogue.keys(bulk, "", COUNT)) == COUNT // 100
    for what, call in {
        "count of a prefix": lambda: catalogue.count(bulk),
        "keys of a prefix": lambda: catalogue.keys(bulk, "", COUNT),
        "count of everything": lambda: catalogue.count(Everything()),
        "totals": lambda: catalogue.totals(NOW),
        "nothing new": lambda: catalogue.catch_up(500),
    }.items():
        figures.append(f"{what}: {1000 * timed(call):.1f} ms")
    catalogue.close()
    with capsys.disabled():
        print("", *figures, sep="\n")
