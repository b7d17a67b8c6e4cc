"""The short cut: which answers are prepared, for how long they stand, and what they hold on to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.codings.options import CodingOptions
from proxy.exchange import hot
from proxy.exchange.forms import Forms
from proxy.exchange.hot import HEAD, JOINED, Hot, Prepared
from proxy.exchange.record import ExchangeRecord, What, of_hit
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from tests.support.build import req
from tests.support.fakes import FakeStore
from tests.support.stored import NOW, URL, get, stored

if TYPE_CHECKING:
    from proxy.semantics.messages import Request

RAW = b"GET http://a.example/x HTTP/1.1\r\n\r\n"
FRESH = stored("max-age=60", 'ETag: "1"', "Content-Type: image/x")


def hot_of(store: FakeStore, options: Options, *, x_cache: bool = False) -> Hot:
    return Hot(store, options, Forms(store, CodingOptions()), x_cache=x_cache)


def filled(body: bytes = b"hello", *lines: str, status: int = 200) -> FakeStore:
    store = FakeStore()
    held = stored(*lines, status=status) if lines else FRESH
    store.add(URL, held, body)
    return store


def prepare(hot: Hot, raw: bytes, request: Request, now: float) -> Prepared | None:
    """Of what is in memory."""
    found = hot.store.peek(hot.key(request))
    return None if found is None else hot.prepare((b"", raw), request, found, now)


def prepared(store: FakeStore, *lines: str, method: str = "GET", later: float = 0.0) -> Prepared:
    made = prepare(hot_of(store, Options()), RAW, req(f"{method} {URL}", *lines), NOW + later)
    assert made is not None
    return made


def text(block: bytes | None) -> str:
    assert block is not None
    return block.decode()


def test_head_and_body_are_one_block() -> None:
    answer = prepared(filled())
    block = answer.block(NOW + 10.5)
    assert text(block) == (
        'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "1"\r\nContent-Type: image/x\r\n'
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n"
        "Age: 10\r\nCache-Status: forecache; hit; ttl=49\r\n\r\nhello"
    )
    assert answer.follows == b""
    record = of_hit(NOW, "192.0.2.7", answer.what)
    assert record == ExchangeRecord(
        NOW,
        0.0,
        "192.0.2.7",
        What("GET", URL, 1, 200, len(text(block)), Reason.HIT, "image/x"),
    )


def test_a_larger_body_follows_its_head() -> None:
    body = bytes(JOINED + 1)
    answer = prepared(filled(body))
    block = answer.block(NOW)
    assert text(block).endswith("\r\n\r\n")
    assert answer.follows == body
    assert of_hit(NOW, "-", answer.what).what.sent == len(text(block)) + len(body)


@pytest.mark.parametrize(
    ("lines", "method", "status", "ending"),
    [
        pytest.param(['If-None-Match: "1"'], "GET", 304, "\r\n\r\n", id="9110-15.4.5 304"),
        pytest.param(["Range: bytes=1-2"], "GET", 206, "\r\n\r\nel", id="9110-15.3.7 206"),
        pytest.param([], "HEAD", 200, "\r\n\r\n", id="9110-9.3.2 HEAD"),
    ],
)
def test_what_a_client_asks_is_in_it(
    lines: list[str], method: str, status: int, ending: str
) -> None:
    answer = prepared(filled(), *lines, method=method)
    block = text(answer.block(NOW))
    assert block.startswith(f"HTTP/1.1 {status} ")
    assert block.endswith(ending)
    assert ("Content-Length: 5" in block) is (method == "HEAD")


def test_a_204_has_no_length() -> None:
    block = prepared(filled(b"", "max-age=60", status=204)).block(NOW)
    assert "Content-Length" not in text(block)


def test_age_is_rebuilt_once_a_second() -> None:
    store = filled()
    answer = prepared(store)
    first = answer.block(NOW + 0.1)
    assert answer.block(NOW + 0.9) is first
    assert store.touched[URL] == 1
    assert "Age: 1\r\n" in text(answer.block(NOW + 1.0))
    assert store.touched[URL] == 2


@pytest.mark.parametrize(
    ("now", "valid"),
    [
        pytest.param(NOW, True, id="when it was made"),
        pytest.param(NOW + 59.9, True, id="fresh"),
        pytest.param(NOW + 60, False, id="stale"),
        pytest.param(NOW - 0.1, False, id="the clock went backwards"),
    ],
)
def test_it_stands_while_time_stands(now: float, valid: bool) -> None:
    assert (prepared(filled()).block(now) is not None) is valid


def test_it_stands_while_the_request_tolerates_it() -> None:
    answer = prepared(filled(), "Cache-Control: max-age=10")
    assert answer.block(NOW + 9) is not None
    assert answer.block(NOW + 11) is None


async def test_it_stands_while_nothing_changed() -> None:
    store = filled()
    answer = prepared(store)
    assert answer.block(NOW) is not None
    await store.remove(URL)
    assert answer.block(NOW) is None


@pytest.mark.parametrize(
    ("store", "line", "later"),
    [
        pytest.param(FakeStore(), "X: y", 0.0, id="nothing stored"),
        pytest.param(filled(), "Cache-Control: no-cache", 0.0, id="the client wants validation"),
        pytest.param(filled(), "X: y", 60.0, id="stale"),
        pytest.param(filled(), "Cache-Control: max-stale", 60.0, id="stale, though allowed"),
        pytest.param(filled(), "X-Forwarded-Host: b", 0.0, id="P18 a reflected field"),
        pytest.param(filled(), "Content-Length: 4", 0.0, id="P18 a body"),
    ],
)
def test_what_is_not_prepared(store: FakeStore, line: str, later: float) -> None:
    under_test = hot_of(store, Options())
    assert prepare(under_test, RAW, get(line), NOW + later) is None
    assert not under_test.memo


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_other_methods_are_not_prepared(method: str) -> None:
    assert prepare(hot_of(filled(), Options()), RAW, req(f"{method} {URL}"), NOW) is None


def test_only_what_is_in_memory() -> None:
    store = filled()
    store.lost = {"1"}
    assert prepare(hot_of(store, Options()), RAW, get(), NOW) is None
    store.hot = False
    assert prepare(hot_of(store, Options()), RAW, get(), NOW) is None


def test_a_rule_keeps_the_cache_out_of_it() -> None:
    options = Options(rules=(Rule(match="http://a.example/**", cache=False),))
    assert prepare(hot_of(filled(), options), RAW, get(), NOW) is None


def test_x_cache_where_it_is_wanted() -> None:
    made = prepare(hot_of(filled(), Options(), x_cache=True), RAW, get(), NOW)
    assert made is not None
    assert "X-Cache: HIT\r\n" in text(made.block(NOW))


def test_the_age_of_upstream_is_replaced() -> None:
    block = text(prepared(filled(b"x", "max-age=60", "Age: 7")).block(NOW))
    assert block.count("Age: ") == 1
    assert "Age: 7\r\n" in block


@pytest.mark.parametrize(
    ("size", "remembered"),
    [pytest.param(HEAD, True, id="as long"), pytest.param(HEAD + 1, False, id="longer")],
)
def test_a_long_head_is_not_remembered(size: int, remembered: bool) -> None:
    under_test = hot_of(filled(), Options())
    assert prepare(under_test, bytes(size), get(), NOW) is not None
    assert bool(under_test.memo) is remembered


def remembered(bodies: list[tuple[bytes, int]]) -> list[bytes]:
    """What is left of these heads with bodies of these sizes."""
    store = filled()
    under_test = hot_of(store, Options())
    for raw, size in bodies:
        store.add(URL, FRESH, bytes(size))
        assert prepare(under_test, raw, get(), NOW) is not None
    return [raw for _, raw in under_test.memo]


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "ENTRIES", 2)
    assert remembered([(b"a", 1), (b"b", 1), (b"a", 1), (b"c", 1)]) == [b"a", b"c"]


def test_octets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # A prepared answer keeps its body alive, whatever memory the store is allowed.
    monkeypatch.setattr(hot, "OCTETS", 1_000_000)
    heads = [bytes((number,)) for number in range(25)]
    assert len(remembered([(raw, 50_000) for raw in heads])) == 19
    assert remembered([(raw, 50_000) for raw in heads])[-1] == heads[-1]
    assert remembered([(b"a", 200_000)]) == []
    assert len(remembered([(b"a", 50_000)] * 50 + [(raw, 50_000) for raw in heads[:18]])) == 19


def test_the_octets_of_a_response_head_are_counted() -> None:
    store = filled(b"hello", "Cache-Control: max-age=60", "X: " + "x" * 20_000)
    under_test = hot_of(store, Options())
    for number in range(2000):
        assert prepare(under_test, b"%d" % number, get(), NOW) is not None
    assert len(under_test.memo) < hot.OCTETS / 40_000
