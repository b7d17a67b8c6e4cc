"""How what is known looks in JSON, by value."""

from __future__ import annotations

import json
from dataclasses import asdict

import msgspec
import pytest

from proxy import __version__
from proxy.admin import views
from proxy.admin.explaining import Explained
from proxy.admin.peers import Named
from proxy.admin.recent import Recent
from proxy.admin.statistics import MINUTES, SECONDS, Moment, Snapshot
from proxy.admin.top import Leader, Leaders, Ranking
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.transcoding import Counts
from proxy.policy.clauses import Clause, Verdict
from proxy.policy.explain import Term
from proxy.policy.reasons import Reason
from proxy.store.catalogue_following import Progress
from proxy.store.catalogue_rows import Entry
from tests.support.watched import feed

NOW = 1_700_000_000.5
BUSY = Leader("a.example", 9, 100, 1, "miss")
LARGE = Leader("b.example", 2, 900, 0, "")
ENTRY = Entry(
    *("http://a.example/x", "http://a.example/x", "a.example", 200, "text/x", "gzip", 2, 900),
    *(1.0, 61.0, 3, 4.0, ("zebra", "ant"), 77),
)


def test_all_that_is_counted() -> None:
    snapshot = Snapshot(
        since=NOW - 60,
        requests=7,
        hits=4,
        tunnels=2,
        results={"hit": 4, "miss": 3},
        octets={"cache": 400, "origin": 30, "tunnel": 5},
        saved_seconds=1.25,
        seconds={int(NOW): Moment(int(NOW), 2, 1, 100, 10)},
    )
    leaders = Leaders(Ranking(requests=(BUSY,)), Ranking(octets=(LARGE,)))
    store = {"octets": 900, "limit": 4000, "keys": 5, "evictions": 6}
    said = views.stats(snapshot, NOW, leaders, Counts(kept=8), store, ["127.0.0.1:3128"])
    series = said.pop("series")
    assert said == {
        "version": __version__,
        "started": NOW - 60,
        "now": NOW,
        "listening": ["127.0.0.1:3128"],
        "store": store,
        "requests": 7,
        "hits": 4,
        "results": {"hit": 4, "miss": 3},
        "octets": {"cache": 400, "origin": 30, "own": 0},
        "saved": {"octets": 400, "seconds": 1.25},
        "evictions": 6,
        "tunnels": 2,
        "coding": {
            "decoded_in": 0, "decoded_out": 0, "encoded_in": 0, "encoded_out": 0,
            "seconds": 0.0, "kept": 8, "refused": 0,
        },
        "top": {
            "hosts": {"requests": (asdict(BUSY),), "octets": (), "misses": ()},
            "urls": {"requests": (), "octets": (asdict(LARGE),), "misses": ()},
        },
    }  # fmt: skip
    assert (len(series["second"]), len(series["minute"])) == (SECONDS, MINUTES)
    assert series["second"][-1] == (int(NOW), 2, 1, 100, 10)
    assert msgspec.json.encode(said)


def test_how_far_the_catalogue_is() -> None:
    assert views.indexed(Progress(done=5, left=2, damaged=1)) == {"done": 5, "left": 2}


def test_a_line_of_the_table() -> None:
    said = views.entry(ENTRY)
    assert said["tags"] == ["ant", "zebra"]
    assert "rowid" not in said
    assert set(Entry._fields) - set(said) == {"rowid"}
    assert {name: said[name] for name in ("url", "octets", "fresh_until", "hits")} == {
        "url": "http://a.example/x", "octets": 900, "fresh_until": 61.0, "hits": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("own", "expected"), [pytest.param("", "t-1", id="numbered"), pytest.param("x7", "x7")]
)
def test_an_exchange(own: str, expected: str) -> None:
    recent = Recent("t")
    what = What("GET", "http://a.example/x", 1, 200, 100, Reason.MISS, asked=0.25, id=own)
    record = ExchangeRecord(NOW, 0.5, "192.0.2.1", what)
    feed(recent.take, [record])
    (recorded,) = recent.latest(1)
    said = views.exchange(Named(recent.id(recorded), recorded.record))
    assert said["id"] == expected
    assert set(said) == {"start", "elapsed", "client", *What.__struct_fields__}
    picked = (said["target"], said["reason"], said["asked"], said["status"])
    assert picked == ("http://a.example/x", "miss", 0.25, 200)
    assert type(said["reason"]) is str


def test_an_explanation() -> None:
    clauses = (Clause("method", "RFC 9111 §4", Verdict.YES, "GET is answered from the cache."),)
    said = views.explanation(Explained("serve", "hit", "It is fresh.", clauses))
    assert json.loads(msgspec.json.encode(said)) == {
        "decision": "serve",
        "reason": "hit",
        "sentence": "It is fresh.",
        "clauses": [
            {
                "name": "method",
                "section": "RFC 9111 §4",
                "verdict": "yes",
                "text": "GET is answered from the cache.",
            }
        ],
    }


def test_the_arithmetic_by_name_and_in_its_order() -> None:
    said = views.terms({"ttl": Term(5.0, "§4.2"), "source": Term("max-age", "§5.2.2.1")})
    assert said == {
        "ttl": 5.0,
        "source": "max-age",
        "terms": [
            {"name": "ttl", "value": 5.0, "section": "§4.2"},
            {"name": "source", "value": "max-age", "section": "§5.2.2.1"},
        ],
    }
