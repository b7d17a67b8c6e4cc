"""Cache folders with many entries: ``python -m tests.support.large_store FOLDER COUNT``.

They are written as the program writes them, in larger groups: some 40 us an entry. Every
hundredth entry is below ``BULK``, so 10,000 of a million.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.policy.stored import StoredResponse
from proxy.semantics.dates import format_date
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.semantics.units import Octets
from proxy.store.bodies import checksum, checksum_octets
from proxy.store.changes import Changes
from proxy.store.folder import Folder
from proxy.store.operations import Put
from proxy.store.options import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

BULK: Final = "http://bulk.example/set/"
NOW: Final = 1_700_000_000.0

_GROUP: Final = 1000
_TYPES: Final = ("text/html; charset=utf-8", "image/png", "application/json", "text/css")
_CODINGS: Final = ("", "gzip", "br", "")


def key_of(number: int) -> str:
    """``http://h17.example/d3/00000317.html``: 997 hosts, spread; every hundredth is of one."""
    if number % 100 == 0:
        return f"{BULK}{number:08d}"
    return f"http://h{number * 7919 % 997}.example/d{number % 31}/{number:08d}.html?v=1"


def put_of(number: int, body: bytes) -> Put:
    """Received within the day before ``NOW``; fresh for up to two days from then."""
    received = NOW - number * 86_399 % 86_400
    lines = [
        ("Date", format_date(received)),
        ("Content-Type", _TYPES[number % len(_TYPES)]),
        ("Cache-Control", f"public, max-age={number * 37 % 480 * 360}"),
        ("ETag", f'"{number:x}"'),
        ("Last-Modified", format_date(received - 1_000_000)),
        ("Server", "origin"),
    ]
    if coding := _CODINGS[number % len(_CODINGS)]:
        lines.append(("Content-Encoding", coding))
    if number % 10 == 0:
        lines.append(("Cache-Tag", f"all-tens, shelf-{number % 1000}"))
    head = ResponseHead(200, "OK", Fields(lines))
    sum_ = checksum_octets(checksum(body))
    times = (received - 0.05, received)
    stored = StoredResponse(f"large{number:012x}", (), head, *times, len(body), sum_)
    return Put(key_of(number), stored, body, since=0)


def body_of(number: int) -> bytes:
    return b"%08d" % number * (1 + number % 60)


def fill(folder: Path, count: int, first: int = 0) -> None:
    """Put the entries ``first`` to ``first + count`` into the folder, which nobody has open."""
    opened = Folder(StoreOptions(folder, Octets(64 * 2**30)))
    try:
        puts = (put_of(number, body_of(number)) for number in range(first, first + count))
        while group := list(islice(puts, _GROUP)):
            store(opened, group)
        opened.table.checkpoint()
    finally:
        opened.table.leave()
        opened.close()


def store(folder: Folder, group: list[Put]) -> None:
    """In one transaction, as the writer does it."""
    changes, generations = Changes(folder), folder.generations
    for put in group:
        folder.changing(put.key)
        put.since = generations.removals(put.key)
    with folder.table.transaction():
        for put in group:
            changes.apply(put)
    for put in group:
        generations.settled(put.key)


def keys(count: int) -> Iterator[str]:
    """Of the entries that ``fill`` makes."""
    return map(key_of, range(count))


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
