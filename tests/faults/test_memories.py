"""Each memory of the program, filled with the longest things there are."""

from __future__ import annotations

import ast
import gc
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import proxy
from proxy import bounded
from proxy.access import addresses
from proxy.access.rules import AccessOptions, Rules
from proxy.admin import formats
from proxy.admin.accesslog import BUFFERED, AccessLog, LogOptions
from proxy.admin.events import _Block
from proxy.admin.recent import Recorded
from proxy.admin.top import Top
from proxy.bounded import Memo, Memory
from proxy.codings.options import CodingOptions
from proxy.codings.transform import MARK
from proxy.exchange import echo
from proxy.exchange.echo import Echo
from proxy.exchange.forms import Forms
from proxy.exchange.hot import HEAD, Hot, Prepared
from proxy.exchange.origin import Wanted
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.voice import Forwarded
from proxy.frontend.heard import SEEN, Hearing
from proxy.policy import freshness
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics.fields import Fields
from proxy.semantics.targets import Origin as Named
from proxy.store import records
from proxy.store.base import Found
from proxy.store.memory import MemoryTier
from proxy.upstream.base import Outgoing, Said
from proxy.wire.heads import Limits
from tests.support.admin import HERE
from tests.support.build import fields, req
from tests.support.fakes import FakeStore
from tests.support.stored import NOW, URL, get, stored
from tests.support.watched import feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.semantics.messages import Request
    from proxy.upstream.resolve import Addresses
    from tests.conftest import StartHouse
    from tests.support.house import House

pytestmark = pytest.mark.slow

MOST: Final = 64 * 2**20  # octets beside ``[cache] memory``
LONG: Final = "x" * 60_000
MANY_LINES: Final = 120
ROOM: Final = 100  # octets: less than any entry takes


def head(number: int) -> bytes:
    """A request head as long as one may be that is remembered, of as many lines as it can have."""
    lines = [f"{n:x}: " for n in range(MANY_LINES)]
    start = [f"GET http://a.example/{number} HTTP/1.1", "Host: a.example"]
    raw = "\r\n".join([*start, *lines, "", ""])
    return raw.replace("Host", f"z: {'z' * (HEAD - 5 - len(raw))}\r\nHost", 1).encode()


def record(number: int, reason: Reason = Reason.MISS, sent: int = 9) -> ExchangeRecord:
    long, host = f"{number}{LONG}", f"{number:06}.{'.'.join(['a' * 60] * 4)}"
    url = f"http://{host}/{LONG}"
    made = What("GET", url, 1, 200, sent, reason, long, 0, "-", long, long)
    return ExchangeRecord(NOW, 0.1 * number, "192.0.2.1", made)


STORE: Final = FakeStore()
HOT: Final = Hot(STORE, Options(), Forms(STORE, CodingOptions()))


def prepared(number: int) -> Prepared:
    STORE.add(URL, stored("max-age=60", f"X: {number}{'x' * 30_000}"), b"%d" % number * 1000)
    found = STORE.peek(URL)
    assert found is not None
    made = HOT.prepare(None, get(), found, NOW)
    assert made is not None
    return made


def heard(house: House) -> Callable[[int], None]:
    """Requests, with all that is worked out about them."""
    door = house.running.door
    asking = door.exchange._asking

    def one(number: int) -> None:
        raw = head(number)
        request: Request
        for _ in range(2):
            request = door.hearing.hear(raw, None, b"").reception.request  # type: ignore[union-attr]
        standing(request, Options())
        _, onward = asking.fields(request, as_asked=False)
        onward.names()

    return one


def echoed(number: int) -> None:
    lines = [f"{n:x}{number:x}: " for n in range(60)]
    request: Request = req(f"GET http://a.example/{number}", *lines)
    held = stored("max-age=0", *lines, f'ETag: "{"x" * 2000}{number}"')
    (known,) = records.decode("k", records.encode("k", (held,)))
    (again,) = records.decode("k", records.encode("k", (held,)))
    for one in (known, again):
        freshness.terms(one, Options(), None)
    octets = "".join(f"{line}\r\n" for line in lines).encode() + bytes(2000) + b"%d" % number
    said = Said(octets[:-1], b"%d" % number, 10_000)
    ours = Wanted(Reason.EXPIRED, fields(*lines, f"If-None-Match: {number}{'x' * 2000}"), known)
    outgoing = Outgoing("GET", request.uri, Fields([*request.fields, *(ours.conditional or ())]))
    opening = octets + b"%d" % number
    made = Echo(
        outgoing, said, str(request.uri), Found((known,), 1), ours, Forwarded(Reason.EXPIRED, 304),
        negotiated=True, reason=Reason.REVALIDATED, status=200, content_type="-", opening=opening,
        closing=b"", stored=again,
    )  # fmt: skip
    echo.keep(request, made)


def value(number: int) -> Found:
    held = stored("max-age=0", *(f"{n:x}: {number}" for n in range(200)))
    (known,) = records.decode("k", records.encode("k", (held,)))
    freshness.terms(known, Options(), None)
    known.head.fields.names()
    return Found((known,), 1)


def addressed(number: int) -> Addresses:
    return tuple((10, f"2001:db8::{number:x}:{n:x}") for n in range(500))


OF_THE_HOUSE: Final = {
    "events", "hashes of keys", "hot answers", "judged origins", "judged places", "lately",
    "names", "recent exchanges", "recent hits", "requests", "routes", "uses", "values of records",
}  # fmt: skip
# By the name of a memory: the number-th key, which is as long as one can be that is remembered.
KEYS: Final[dict[str, Callable[[int], Any]]] = {
    "local addresses": lambda n: f"fe80:{n >> 16:x}:{n & 65535:x}:ffff:ffff:ffff:ffff:ffff",
    "barred addresses": lambda n: addresses.parse_address(f"64:ff9b::{n:x}"),
    "fields of lines": lambda n: f"{n:06}{'é' * 506}",
    "quotes of lines": lambda n: f"{n:06}{'é' * 506}",
    "times of log lines": lambda n: 1_700_000_000_000 + n,
    "selecting values": lambda n: ("accept-language", f"{n:06}{'a' * 134}"),
    "origins": lambda n: ("http", f"{n:06}.{'.'.join(['a' * 60] * 4)}"),
    "judged places": lambda n: (f"{n:06}.{'.'.join(['a' * 60] * 4)}", n),
    "judged origins": lambda n: Named("http", f"{n:06}.{'.'.join(['a' * 60] * 4)}", 25),
    "routes": lambda n: Named("http", f"{n:06}.{'.'.join(['a' * 60] * 4)}", 80),
    "response directives": lambda n: (",".join(f"{n + i:06}" for i in range(36)),),
    "dates": lambda n: f"{n:029}",
    "entity tags": lambda n: f'W/"{n:06}{"a" * 118}"',
    "accepted codings": lambda n: f"{n:06}," + ",".join(f"{i:x}" for i in range(45)),
    "chains of codings": lambda n: f"{n:064}",
    "names of fields": lambda n: tuple(f"{n:06}{i:x}{'a' * 22}" for i in range(32)),
    "media types": lambda n: (f"{n:0256}", CodingOptions().types),
    "marked tags": lambda n: f'"{n:06}{"a" * 230}{MARK}gzip"',
    "words": lambda n: f"{n:06}" + "é" * 122,
    "nominated fields": lambda n: (f"{n:06}," + ",".join(f"{i:x}" for i in range(45)),),
    "field sections": lambda n: (
        f"\r\nHost: a\r\n{n:06}: \r\n" + "".join(f"{i:x}: \r\n" for i in range(126)) + "\r\n", 128
    ),
    "status lines": lambda n: f"HTTP/1.1 200 {n:06}{'a' * 108}",
    "lengths": lambda n: f"{n + 10**14:015}",
    "timeouts of origins": lambda n: f"timeout={n:0120}",
    "hashes of keys": lambda n: f"{n:0512}",
}  # fmt: skip


def line(number: int) -> None:
    what = What(
        "GET", f"http://a.example/{number}", 1, 200, 9, Reason.HIT, user_agent=f"{number:01600}"
    )
    formats.squid([ExchangeRecord(NOW, 0.0, "-", what)])


def filler(memory: Memory, house: House) -> Callable[[int], object]:
    """Puts the number-th thing in."""
    others: dict[str, Callable[[int], object]] = {
        "log lines": line,
        "echoes": echoed,
        "requests": heard(house),
        "hot answers": lambda n: memory.keep((b"", head(n)), prepared(n)),  # type: ignore[union-attr]
        "recent hits": lambda n: memory.add([Recorded(n, record(n))]),  # type: ignore[union-attr]
        "recent exchanges": lambda n: memory.add([Recorded(n, record(n))]),  # type: ignore[union-attr]
        "events": lambda n: memory.add([_Block(n, b"%0250000d" % n)]),  # type: ignore[union-attr]
        "names": lambda n: memory.keep(f"{n:0253}", (0.5 + n, addressed(n))),  # type: ignore[union-attr]
        "uses": lambda n: memory.keep(f"{n:04000}", (n, float(n))),  # type: ignore[union-attr]
        "lately": lambda n: memory.keep(hash(f"{n:016000}"), n + 0.5),  # type: ignore[union-attr]
        "values of records": lambda n: memory.keep(f"{n:016000}", value(n)),  # type: ignore[union-attr]
    }
    if memory.name in others:
        return others[memory.name]
    key, memo = KEYS[memory.name], memory
    assert isinstance(memo, Memo)
    return lambda n: memo[key(n)]


def fill(memory: Memory, put: Callable[[int], object]) -> int:
    """Until it is full, and then as much again; what it takes, in octets."""
    gc.collect()
    before, number = tracemalloc.get_traced_memory()[0], 0
    while memory.octets + ROOM < memory.most and len(memory) == number:
        put(number)
        number += 1
    for more in range(number // 4):
        put(number + more)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def others() -> list[object]:
    """What has a size of its own, full."""
    top = Top()
    # Each name is new, and has more than any before: it takes a place in every list.
    for first in range(0, 3000, 250):
        feed(top.take, [record(number, sent=number) for number in range(first, first + 250)])
    hearing = Hearing(Limits(), Rules(AccessOptions()))
    for number in range(SEEN):
        hearing.hear(b"GET http://a.example/%d HTTP/1.0\r\n\r\n" % number, None, b"")
    tier = MemoryTier(0)
    (one,) = value(0).variants
    for number in range(1 << 14):
        passing = Found((replace(one, id=f"{number:064}"),), 0)
        tier.take(f"{number:01000}", passing, bytes(32 * 1024), b"")
    return [top, hearing, tier]


@pytest.fixture
def blocked(tmp_path: Path) -> Iterator[AccessLog]:
    """A log into a pipe that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(LogOptions(access=str(path)))
    yield log
    os.close(descriptor)
    log.close()


@pytest.mark.timeout(300)
async def test_37_all_memories_together_are_bounded_by_octets(
    start_house: StartHouse, traced: None, blocked: AccessLog
) -> None:
    gc.collect()
    before = {id(memory) for memory in bounded.memories() if memory.name in OF_THE_HOUSE}
    house = await start_house({**HERE, "cache": {"memory": "16MiB"}})
    gc.collect()
    idle, _ = tracemalloc.get_traced_memory()
    memories = [memory for memory in bounded.memories() if id(memory) not in before]
    names = [memory.name for memory in memories]
    for memory in memories:
        memory.forget()
        took = fill(memory, filler(memory, house))
        assert took < 1.1 * memory.most, memory.name
        assert memory.octets > memory.most / 2, memory.name
    for number in range(3000):
        blocked.observe(record(number))
    for hit in [record(0, Reason.HIT)] * BUFFERED:
        blocked.observe(hit)
    assert blocked.dropped > 2000
    kept = others()
    gc.collect()
    total, _ = tracemalloc.get_traced_memory()
    assert kept
    assert total - idle < MOST + 2 * 2**20, "and what is of the cache's own memory"
    assert set(names) == OF_THE_HOUSE | set(KEYS) | {"echoes", "log lines"}
    assert sum(memory.most for memory in memories) < MOST


# What never grows with what clients and origins send: of the configuration, or of numbers.
CACHED: Final = {
    "access/clients.py": {"client_of"},  # addresses of peers, as the system writes them
    "admin/formats.py": {"result", "_common_time", "_second"},
    "codings/registry.py": {"accept_encoding"},
    "codings/transform.py": {"_globs"},
    "config/settings.py": {"keys"},
    "policy/keys.py": {"_lower"},
    "policy/rules.py": {"_names"},
    "semantics/dates.py": {"_format"},
}


def test_37_nothing_else_is_remembered_by_its_arguments() -> None:
    root = Path(proxy.__file__).parent
    found: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        text, name = path.read_text(), str(path.relative_to(root))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and any(
                "lru_cache" in ast.unparse(each) for each in node.decorator_list
            ):
                found.setdefault(name, set()).add(node.name)
        assert text.count("lru_cache(") == len(found.get(name, ())), name
        assert "functools.cache" not in text
        assert "from functools import cache" not in text
    assert found == CACHED
