"""Single steps of the program: microseconds of CPU each, of all threads; the least of several.

Steps that touch a disk use a cache folder among the temporary files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import Timer
from typing import TYPE_CHECKING, Final

from proxy.admin.formats import squid
from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.codings.streams import Decoder, Encoder
from proxy.exchange.forms import Forms
from proxy.exchange.hot import Hot
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy import reuse, storing
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.standing import standing
from proxy.semantics.fields import Fields
from proxy.semantics.messages import ResponseHead
from proxy.semantics.units import Octets
from proxy.store import records
from proxy.store.options import StoreOptions
from proxy.store.tiered import open_store
from proxy.wire.heads import Limits, parse_request, parse_response, render_response
from tests.bench.client import head_of
from tests.bench.processes import progress
from tests.bench.report import Report, caption, names_of, number, surroundings, table
from tests.support.build import req
from tests.support.stored import NOW, stored

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from proxy.store.tiered import TieredStore

Step = Callable[[], object]
Times = Callable[[int], Awaitable[float]]  # so often: the CPU seconds that it took

URL: Final = "http://a.example/path/of/some.html?page=1"
LINES: Final = (
    "Date: Sun, 06 Nov 1994 08:49:37 GMT",
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: public, max-age=3600",
    'ETag: "v1"',
    "Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT",
    "Server: origin",
)
TEXT: Final = b"".join(b"Line %d of some text, not unlike any other.\n" % n for n in range(430))
_BODY: Final = TEXT[:10_000]
_OPTIONS: Final = Options()
_LIMITS: Final = Limits()
_REQUEST: Final = req(f"GET {URL}", "Host: a.example", "User-Agent: bench", "Accept: */*")
_KEY: Final = standing(_REQUEST, _OPTIONS).key
_STORED: Final = stored(*LINES, to=_REQUEST, body_id="bead", length=1024)
_REQUEST_HEAD: Final = head_of(URL)
_RESPONSE_HEAD: Final = render_response(200, "OK", _STORED.head.fields)
_KEPT: Final = 256  # responses in a store that are looked up in turn
_AT_ONCE: Final = 64  # responses on their way into a store


def _may_store() -> object:
    # Heads are new each time: nothing is known of them yet.
    head = ResponseHead(200, "OK", Fields(_STORED.head.fields.lines))
    return storing.may_store(_REQUEST, head, NOW, _OPTIONS)


def _gzip() -> bytes:
    encoder = Encoder(Coding.GZIP, CodingOptions())
    return encoder.feed(TEXT) + encoder.end()


_GZIPPED: Final = _gzip()
_RECORD: Final = records.encode(_KEY, (_STORED,))
_EXCHANGE: Final = ExchangeRecord(
    start=NOW,
    elapsed=0.001,
    client="127.0.0.1",
    what=What(
        method="GET",
        target=URL,
        minor=1,
        status=200,
        sent=1400,
        reason=Reason.HIT,
        content_type="text/html; charset=utf-8",
        user_agent="bench",
    ),
)

STEPS: Final[dict[str, Step]] = {
    "parse-request": lambda: parse_request(_REQUEST_HEAD, _LIMITS),
    "parse-response": lambda: parse_response(_RESPONSE_HEAD, _LIMITS),
    "decide": lambda: reuse.decide(_REQUEST, (_STORED,), NOW, _OPTIONS),
    "may-store": _may_store,
    "record-encode": lambda: records.encode(_KEY, (_STORED,)),
    "record-decode": lambda: records.decode(_KEY, _RECORD),
    "log-line": lambda: squid((_EXCHANGE,)),
    "gzip-20k": _gzip,
    "gunzip-20k": lambda: Decoder((Coding.GZIP,)).feed(_GZIPPED),
}


async def _hot(store: TieredStore) -> Times:
    """A request that is remembered: the octets to send."""
    await store.put(_KEY, _STORED, _BODY[:1024], store.removals(_KEY))
    hot = Hot(store, _OPTIONS, Forms(store, CodingOptions()))
    found = store.peek(_KEY)
    assert found is not None
    prepared = hot.prepare((b"", _REQUEST_HEAD), _REQUEST, found, NOW)
    assert prepared is not None
    return _repeated(lambda: prepared.block(NOW))


async def _prepare(store: TieredStore) -> Times:
    """The same, when its head is seen for the first time."""
    await store.put(_KEY, _STORED, _BODY[:1024], store.removals(_KEY))
    hot = Hot(store, _OPTIONS, Forms(store, CodingOptions()))
    found = store.peek(_KEY)
    assert found is not None
    return _repeated(lambda: hot.prepare((b"", _REQUEST_HEAD), _REQUEST, found, NOW))


async def _peek(store: TieredStore) -> Times:
    await _fill(store)
    keys = cycle(map(_key_of, range(_KEPT)))
    return _repeated(lambda: store.peek(next(keys)))


async def _lookup(store: TieredStore) -> Times:
    await _fill(store)
    keys = cycle(map(_key_of, range(_KEPT)))

    async def times(number_: int) -> float:
        began = time.process_time()
        for _ in range(number_):
            await store.lookup(next(keys))
        return time.process_time() - began

    return times


async def _put(store: TieredStore) -> Times:
    numbers = count()

    async def times(number_: int) -> float:
        began = time.process_time()
        for start in range(0, number_, _AT_ONCE):
            some = range(min(_AT_ONCE, number_ - start))
            await asyncio.gather(*(_put_one(store, next(numbers)) for _ in some))
        return time.process_time() - began

    return times


# The disk is asked each time where memory has no room.
STORE_STEPS: Final = {
    "hot-memo": (_hot, 2**27),
    "hot-prepare": (_prepare, 2**27),
    "store-peek-memory": (_peek, 2**27),
    "store-lookup-disk-10k": (_lookup, 0),
    "store-put-10k": (_put, 0),
}
NAMES: Final = (*STEPS, *STORE_STEPS)


def _key_of(number_: int) -> str:
    return f"http://a.example/{number_}"


async def _put_one(store: TieredStore, number_: int) -> None:
    key = _key_of(number_)
    await store.put(key, replace(_STORED, id=f"{number_:08x}"), _BODY, store.removals(key))


async def _fill(store: TieredStore) -> None:
    await asyncio.gather(*(_put_one(store, n) for n in range(_KEPT)))


def _repeated(step: Step) -> Times:
    timer = Timer(step, timer=time.process_time)

    async def times(number_: int) -> float:
        return timer.timeit(number_)

    return times


def configure(parser: ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--only", type=names_of(NAMES), default=[*NAMES])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each repeat, at least")


def run(options: Namespace) -> Report:
    """Each step by itself."""
    took = asyncio.run(_measure(options))
    around = surroundings()
    text = caption(around, f"CPU microseconds, the least of {options.repeats}.")
    rows = [[name, number(us)] for name, us in took.items()]
    return Report(f"{text}\n{table(['step', 'us'], rows)}", around | {"microseconds": took})


async def _measure(options: Namespace) -> dict[str, float]:
    took = {}
    for name in options.only:
        if name in STEPS:
            took[name] = await _least(_repeated(STEPS[name]), options)
        else:
            took[name] = await _with_store(name, options)
        progress(f"{name}: {took[name]:.2f} us")
    return took


async def _with_store(name: str, options: Namespace) -> float:
    prepare, memory = STORE_STEPS[name]
    with TemporaryDirectory(prefix="forecache-bench-") as folder:
        path = Path(folder) / "cache"
        store = await open_store(StoreOptions(path, Octets(2**32), memory=Octets(memory)))
        try:
            return await _least(await prepare(store), options)
        finally:
            await store.close()


async def _least(times: Times, options: Namespace) -> float:
    """Microseconds for one; as many at a time as take long enough to be measured."""
    number_, took = 1, await times(1)
    while took < options.seconds:
        number_ *= max(2, min(100, int(options.seconds / took)))
        took = await times(number_)
    for _ in range(options.repeats - 1):
        took = min(took, await times(number_))
    return took / number_ * 1e6
