"""How what is known looks in JSON: pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from msgspec import structs

from proxy import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.admin.explaining import Explained
    from proxy.admin.peers import Named
    from proxy.admin.statistics import Snapshot
    from proxy.admin.top import Leaders
    from proxy.exchange.record import What
    from proxy.exchange.transcoding import Counts
    from proxy.policy.explain import Term
    from proxy.store.catalogue_following import Progress
    from proxy.store.catalogue_rows import Entry


def stats(
    snapshot: Snapshot,
    now: float,
    leaders: Leaders,
    counts: Counts,
    store: Mapping[str, object],
    listening: Sequence[str],
) -> dict[str, Any]:
    """The answer of ``/api/stats``: octets, seconds, epoch seconds."""
    cache = snapshot.octets.get("cache", 0)
    return {
        "version": __version__,
        "started": snapshot.since,
        "now": now,
        "listening": list(listening),
        "store": dict(store),
        "requests": snapshot.requests,
        "hits": snapshot.hits,
        "results": dict(snapshot.results),
        "octets": {name: snapshot.octets.get(name, 0) for name in ("cache", "origin", "own")},
        "saved": {"octets": cache, "seconds": snapshot.saved_seconds},
        "evictions": store["evictions"],
        "tunnels": snapshot.tunnels,
        "coding": asdict(counts),
        "series": {
            "second": [tuple(moment) for moment in snapshot.last_seconds(now)],
            "minute": [tuple(moment) for moment in snapshot.last_minutes(now)],
        },
        # Hosts and URLs, each by requests, by octets and by misses: lists, the busiest first.
        "top": asdict(leaders),
    }


def indexed(progress: Progress) -> dict[str, int]:
    """How far the catalogue is."""
    return {"done": progress.done, "left": progress.left}


def entry(one: Entry) -> dict[str, Any]:
    """A line of the table of what is stored."""
    shown = one._asdict()
    shown["tags"] = sorted(one.tags)
    shown.pop("rowid", None)
    return shown


def exchange(named: Named) -> dict[str, Any]:
    """One exchange that has ended."""
    when = named.record._asdict()
    what: What = when.pop("what")
    return {**when, **structs.asdict(what), "id": named.id, "reason": what.reason.value}


def explanation(said: Explained) -> dict[str, Any]:
    """What would happen, and why, clause by clause."""
    return {**said._asdict(), "clauses": [asdict(clause) for clause in said.clauses]}


def terms(arithmetic: Mapping[str, Term]) -> dict[str, Any]:
    """Values by name, and all of them with the section that defines each."""
    listed = [
        {"name": name, "value": term.value, "section": term.section}
        for name, term in arithmetic.items()
    ]
    return {**{name: term.value for name, term in arithmetic.items()}, "terms": listed}
