"""How what is known looks in JSON: pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.policy.explain import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.admin.recent import Recent, Recorded
    from proxy.admin.statistics import Snapshot
    from proxy.admin.top import Leaders, Ranking
    from proxy.exchange.transcoding import Counts
    from proxy.policy.explain import Explanation, Term
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
        "top": {
            "hosts": ranked(leaders.hosts),
            "urls": ranked(leaders.urls),
        },
    }


def ranked(ranking: Ranking) -> list[dict[str, Any]]:
    """The busiest by each measure, each once, those with the most requests first."""
    named = {one.name: one for each in (ranking.misses, ranking.octets) for one in each}
    named |= {one.name: one for one in ranking.requests}
    return [asdict(one) for one in sorted(named.values(), key=lambda one: -one.requests)]


def indexed(progress: Progress) -> dict[str, int]:
    """How far the catalogue is."""
    return {"done": progress.done, "left": progress.left}


def entry(one: Entry) -> dict[str, Any]:
    """A line of the table of what is stored."""
    shown = one._asdict()
    shown["tags"] = sorted(one.tags)
    shown.pop("rowid", None)
    return shown


def exchange(recent: Recent, recorded: Recorded) -> dict[str, Any]:
    """One exchange that has ended."""
    record = recorded.record
    named = {"id": recent.id(recorded), "reason": record.reason.value}
    return {**record._asdict(), **named}


def explanation(said: Explanation) -> dict[str, Any]:
    """Clause by clause; the last that says yes or no is what it comes to."""
    clauses = [asdict(clause) for clause in said.clauses]
    deciding = [clause for clause in said.clauses if clause.verdict is not Verdict.INFO]
    return {
        "decision": type(said.decision).__name__.lower(),
        "reason": said.reason.value if said.reason is not None else "",
        "sentence": deciding[-1].text if deciding else "",
        "clauses": clauses,
    }


def terms(arithmetic: Mapping[str, Term]) -> dict[str, Any]:
    """Values by name, and all of them with the section that defines each."""
    listed = [
        {"name": name, "value": term.value, "section": term.section}
        for name, term in arithmetic.items()
    ]
    return {**{name: term.value for name, term in arithmetic.items()}, "terms": listed}
