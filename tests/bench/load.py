"""The load table: what a request costs each proxy, all of them in one run.

Each round asks one after the other, so that what else the machine does falls upon all. The figure
to trust is CPU time per request: of all processes of a proxy, user and system. ``asked`` is how
often the origin was asked, per request: whether a hit was one. Variables that begin with
``FORECACHE_`` change the configuration of forecache, as ever.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, fields, replace
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final

from tests.bench import generators
from tests.bench.contestants import OURS, forecache, ground
from tests.bench.generators import Asking, NotAsked
from tests.bench.peers import PEERS, installed
from tests.bench.processes import progress
from tests.bench.report import Report, caption, names_of, number, surroundings, table
from tests.bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence

    from tests.bench.processes import Process
    from tests.bench.workloads import Workload

_WARM: Final = 1.0  # seconds before the first round, for what is to be stored


@dataclass(frozen=True, slots=True)
class Measured:
    """``cpu`` in microseconds a request, latencies in milliseconds, ``resident`` in octets."""

    cpu: float
    rate: float
    p50: float
    p99: float
    errors: float
    asked: float
    resident: float


Rounds = dict[str, list[Measured]]  # by contestant


def configure(parser: ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--peers", type=names_of(PEERS), default=[*PEERS])
    parser.add_argument(
        "--only", type=names_of(WORKLOADS), default=[*WORKLOADS], help="all of them"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--generator", choices=generators.NAMES, default=generators.best())


def run(options: Namespace) -> Report:
    """Start all of them, then play one workload after the other."""
    if options.generator == "python":
        progress("our own generator is slower than wrk: requests/s may be its limit, CPU is right")
    contestants = [forecache(), *installed(options.peers)]
    with ExitStack() as stack:
        on = stack.enter_context(ground())
        served = {each.name: stack.enter_context(on.running(each)) for each in contestants}
        match = Match(on.origin, options.generator, {k: v for k, v in served.items() if v})
        played = {
            name: match.play(WORKLOADS[name], options.rounds, options.seconds)
            for name in options.only
        }
    around = surroundings({each.name: each.version() for each in contestants if served[each.name]})
    how = f"{options.generator}, median of {options.rounds} rounds of {options.seconds:g} s"
    results = {workload: _medians(rounds) for workload, rounds in played.items()}
    return Report(
        caption(around, f"One core each; {how}.") + _text(results),
        around
        | {"how": how, "rounds": {name: _plain(rounds) for name, rounds in played.items()}}
        | {"medians": {name: _plain(medians) for name, medians in results.items()}},
    )


class Match:
    """Contestants that serve, and how they are asked."""

    def __init__(self, origin: int, generator: str, served: Mapping[str, Process]) -> None:
        self._origin = origin
        self._generator = generator
        self._served = served

    def play(self, workload: Workload, rounds: int, seconds: float) -> Rounds:
        """What was measured in each round; nothing for a contestant that failed."""
        measured: Rounds = {name: [] for name in self._served}
        for turn in range(rounds):
            # Where no URL comes twice, one of an earlier round would be a hit.
            salt = workload.name if workload.urls else f"{workload.name}-{turn}"
            for name, process in self._served.items():
                asking = Asking(process.port, self._origin, workload, salt, seconds)
                try:
                    if turn == 0 and workload.urls:
                        self._measure(process, replace(asking, seconds=min(seconds, _WARM)))
                    one = self._measure(process, asking)
                except NotAsked as error:
                    progress(f"{workload.name}, {name}: {error}")
                    continue
                measured[name].append(one)
                progress(f"{workload.name}, {name}: {one.cpu:.1f} us, {one.rate:.0f}/s")
        return measured

    def _measure(self, process: Process, asking: Asking) -> Measured:
        asked, cpu = asked_of(self._origin), process.cpu()
        seen = generators.run(self._generator, asking)
        cpu, asked = process.cpu() - cpu, asked_of(self._origin) - asked
        requests = max(1, seen.requests)
        return Measured(
            cpu=cpu / requests * 1e6,
            rate=seen.requests / seen.seconds,
            p50=seen.p50,
            p99=seen.p99,
            errors=seen.errors,
            asked=asked / requests,
            resident=process.resident(),
        )


def asked_of(origin: int) -> int:
    """How many requests that origin has seen."""
    with closing(HTTPConnection("127.0.0.1", origin, timeout=10)) as connection:
        connection.request("GET", "/count")
        return int(connection.getresponse().read())


def _medians(rounds: Rounds) -> dict[str, Measured]:
    return {
        name: Measured(
            **{
                field.name: statistics.median(getattr(one, field.name) for one in measured)
                for field in fields(Measured)
            }
        )
        for name, measured in rounds.items()
        if measured
    }


def _plain(results: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON."""
    return {
        name: [asdict(one) for one in each] if isinstance(each, list) else asdict(each)
        for name, each in results.items()
    }


def _text(results: Mapping[str, Mapping[str, Measured]]) -> str:
    names = list(dict.fromkeys(name for medians in results.values() for name in medians))
    return "\n".join(
        (
            "",
            "CPU microseconds per request; in brackets how many times those of forecache:\n",
            table(["workload", *names], [_compared(w, m, names) for w, m in results.items()]),
            "Each by itself:\n",
            table(
                ["workload", "", "CPU us", "requests/s", "p50 ms", "p99 ms", "errors", "asked"],
                [_alone(w, name, m[name]) for w, m in results.items() for name in m],
            ),
        )
    )


def _compared(workload: str, medians: Mapping[str, Measured], names: Sequence[str]) -> list[str]:
    ours = medians.get(OURS)
    row = [workload]
    for name in names:
        one = medians.get(name)
        if one is None:
            row.append("-")
        elif name == OURS or ours is None or not ours.cpu:
            row.append(number(one.cpu))
        else:
            row.append(f"{number(one.cpu)} ({one.cpu / ours.cpu:.2f})")
    return row


def _alone(workload: str, name: str, one: Measured) -> list[str]:
    measured = (one.cpu, one.rate, one.p50, one.p99)
    return [workload, name, *map(number, measured), f"{one.errors:.0f}", f"{one.asked:.2f}"]
