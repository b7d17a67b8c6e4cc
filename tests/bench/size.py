"""A large cache: how soon it serves, what a hit from disk costs, and how much memory that takes.

The folder is made once, as the program writes it, and kept for the next time. Each URL that is
asked for is asked once after a start, so that none is in the memory of the proxy. The kernel's may
have some of their octets at the first start, and has most of them at the last, unless it is short:
both are measured.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.policy.stored import StoredResponse
from proxy.semantics.dates import format_date
from proxy.semantics.units import Octets
from proxy.store.bodies import checksum, checksum_octets
from proxy.store.folder import Folder
from proxy.store.operations import Put
from proxy.store.options import StoreOptions
from proxy.store.writer import pack
from tests.bench import generators
from tests.bench.contestants import forecache, ground
from tests.bench.processes import progress
from tests.bench.report import Report, caption, number, surroundings, table
from tests.support import large_store
from tests.support.build import resp

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from tests.bench.contestants import Ground
    from tests.bench.processes import Process

SEED: Final = 20261122
_ROOM: Final = 2**40  # octets: nothing is to be evicted
_TOGETHER: Final = 128  # bodies that are written at a time, as the program does it
_CONNECTIONS: Final = 32
_LOOK: Final = 0.5  # seconds
_QUIET: Final = 0.03  # seconds of CPU between two looks
_PATIENCE: Final = 600.0


def configure(parser: ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("folder", type=Path, help="made if it is not there; it may become large")
    parser.add_argument("--count", type=int, default=1_000_000, help="of entries")
    parser.add_argument("--body", type=int, default=10_000, help="octets of each")
    parser.add_argument("--hits", type=int, default=50_000)
    parser.add_argument("--starts", type=int, default=3)


def run(options: Namespace) -> Report:
    """Make what is not there, start on it so often, ask the first and the last one."""
    make(options.folder, options.count, options.body)
    cache = {"dir": str(options.folder / "cache"), "max_size": f"{_ROOM}B", "memory": "128MiB"}
    starts: list[float] = []
    figures: dict[str, float] = {}
    with ground() as on:
        for _ in range(options.starts):
            with on.running(forecache({"cache": cache})) as process:
                if process is None:
                    raise SystemExit(1)
                starts.append(process.began_after)
                if len(starts) in {1, options.starts}:
                    when = "the first time" if len(starts) == 1 else "after another start"
                    figures |= _measure(on, process, options, when)
    figures = {"start, s": statistics.median(starts)} | figures
    around = surroundings()
    how = f"{options.count:,} entries of {options.body:,} octets, {options.hits:,} hits from disk."
    rows = [[name, number(value)] for name, value in figures.items()]
    return Report(
        f"{caption(around, how)}\n{table(['', ''], rows)}",
        around | {"how": how, "starts": starts, "figures": figures},
    )


def make(folder: Path, entries: int, octets: int) -> None:
    """Fill it, unless it is as wanted. Exits with a sentence if it is something else."""
    says, wanted = folder / "entries.json", {"entries": entries, "octets": octets}
    if says.exists() and json.loads(says.read_text()) == wanted:
        return
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} holds something else: remove it, or choose another folder")
    cache = folder / "cache"
    opened = Folder(StoreOptions(cache, Octets(_ROOM)))
    try:
        _fill(opened, entries, octets)
        opened.table.checkpoint()
    finally:
        opened.table.leave()
        opened.close()
    os.sync()  # what is still to be written is not for those who are measured
    says.write_text(json.dumps(wanted))


def _fill(folder: Folder, entries: int, octets: int) -> None:
    now, body = time.time(), random.Random(SEED).randbytes(octets)
    head = resp(
        200,
        "public, max-age=31536000",
        f"Date: {format_date(now)}",
        "Content-Type: application/octet-stream",
        'ETag: "v1"',
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
    )
    sum_ = checksum_octets(checksum(body))
    for first in range(0, entries, _TOGETHER):
        puts = []
        for place in range(first, min(first + _TOGETHER, entries)):
            stored = StoredResponse(f"large{place:012x}", (), head, now, now, octets, sum_)
            puts.append(Put(large_store.key_of(place), stored, body, since=0))
        if folder.packs is not None:
            pack(folder.packs, [(put, body) for put in puts])
        large_store.store(folder, puts)
        if first % (_TOGETHER * 800) == 0:
            progress(f"{first:,} of {entries:,} entries made")


def _measure(on: Ground, process: Process, options: Namespace, when: str) -> dict[str, float]:
    upkeep = _quiet(process)
    resident = process.resident()
    urls = on.folder / "urls"
    chosen = random.Random(SEED).sample(range(options.count), min(options.hits, options.count))
    urls.write_text("\n".join(map(large_store.key_of, chosen)))
    cpu = process.cpu()
    command = [*generators.client(process.port, _CONNECTIONS), "--list", str(urls)]
    seen = generators.seen(command, _PATIENCE)
    cpu = process.cpu() - cpu
    return {
        "upkeep after it, CPU s": upkeep,
        "memory before the hits, MiB": resident / 2**20,
        f"a hit from disk {when}, CPU us": cpu / max(1, seen.requests) * 1e6,
        f"p50 {when}, ms": seen.p50,
        f"p99 {when}, ms": seen.p99,
        f"errors {when}": seen.errors,
        "memory after them, MiB": process.resident() / 2**20,
    }


def _quiet(process: Process) -> float:
    """Wait until it does nothing more on its own: CPU seconds that it took for that."""
    began, before, now = time.perf_counter(), -1.0, process.cpu()
    while now - before > _QUIET and time.perf_counter() - began < _PATIENCE:
        time.sleep(_LOOK)
        before, now = now, process.cpu()
    return now
