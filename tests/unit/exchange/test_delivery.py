"""Bodies put together from pieces of a stored one."""

from __future__ import annotations

import gzip
import random
import time
from dataclasses import replace
from hashlib import shake_256

import pytest

from proxy.codings.registry import Coding
from proxy.exchange.answer import Flow
from proxy.exchange.delivery import PIECE, Assembled, lengthy
from proxy.exchange.forms import kept_key
from proxy.exchange.options import ExchangeOptions
from proxy.exchange.transcoding import SMALL
from proxy.policy.representation import Shape, Slice
from proxy.semantics.dates import format_date
from proxy.semantics.units import Octets
from proxy.store.base import BodyLost
from tests.support.bench import Bench
from tests.support.build import req
from tests.support.fakes import FakeBody
from tests.support.stored import URL, stored


async def test_pieces_in_their_order() -> None:
    body = FakeBody(b"0123456789")
    reader = Assembled(body, (b"<", Slice(8, 2), b"|", Slice(0, 3), b">"))
    octets = b""
    while piece := await reader.read():
        octets += piece
    assert octets == b"<89|012>"
    reader.close()
    assert body.closed == 1


async def test_a_large_piece_is_read_in_turns() -> None:
    reader = Assembled(FakeBody(bytes(PIECE + 5)), (Slice(2, PIECE + 3),))
    sizes = [len(await reader.read()), len(await reader.read()), len(await reader.read())]
    assert sizes == [PIECE, 3, 0]


async def test_a_body_that_is_shorter_than_it_says_is_lost() -> None:
    # b"" would say that the answer has ended whole.
    reader = Assembled(FakeBody(b"0123"), (Slice(2, 4),))
    assert await reader.read() == b"23"
    with pytest.raises(BodyLost):
        await reader.read()


async def test_a_kept_form_that_is_lost_is_made_again() -> None:
    bench = Bench()
    now = time.time()
    fresh = stored("max-age=60", f"Date: {format_date(now)}", "Content-Encoding: gzip")
    held = replace(fresh, request_time=now, response_time=now)
    held = bench.store.add(URL, held, gzip.compress(b"hello"))
    bench.store.add(kept_key(held, Coding.IDENTITY), stored("", body_id="form"), b"hello")
    bench.store.lost.add("form")
    got = await bench.get(f"GET {URL}", "Accept-Encoding: identity")
    assert (got.status, got.body, bench.asked) == (200, b"hello", 0)


async def test_a_form_that_the_store_refuses_leaves_nothing_open() -> None:
    bench, text = Bench(), random.Random(1).randbytes(2 * SMALL)
    now = time.time()
    fresh = stored("max-age=60", f"Date: {format_date(now)}", "Content-Encoding: gzip")
    held = replace(fresh, request_time=now, response_time=now, decoded_length=len(text))
    bench.store.add(URL, held, gzip.compress(text))
    bench.store.down = True
    got = await bench.get(f"GET {URL}", "Accept-Encoding: identity", "Range: bytes=5-9")
    assert (got.status, got.body, bench.asked) == (206, text[5:10], 0)
    assert [body.closed for body in bench.store.opened] == [1, 1]


@pytest.mark.parametrize(
    ("method", "length", "said"),
    [
        pytest.param("HEAD", 7, [("Content-Length", "7")], id="9110-8.6 HEAD"),
        pytest.param("HEAD", None, [], id="HEAD, unknown"),
        pytest.param("GET", 7, [], id="GET: the door's"),
    ],
)
def test_the_length_of_what_is_not_sent(
    method: str, length: int | None, said: list[tuple[str, str]]
) -> None:
    shaped = Shape(200, (("A", "b"),), (), length)
    assert lengthy(req(f"{method} {URL}"), shaped) == (("A", "b"), *said)


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param((), False, id="all of it"),
        pytest.param(("Range: bytes=0-9",), True, id="a part: he comes again for another"),
    ],
)
async def test_a_form_that_its_last_client_leaves(lines: tuple[str, ...], kept: bool) -> None:
    bench, now = Bench(own=ExchangeOptions(finish_fill=Octets(0))), time.time()
    fresh = stored("max-age=60", f"Date: {format_date(now)}", "Content-Encoding: gzip")
    body = shake_256(b"form").digest(2**20)
    held = replace(fresh, request_time=now, response_time=now, decoded_length=len(body))
    held = bench.store.add(URL, held, gzip.compress(body))
    bench.store.hot = False
    asked = (f"GET {URL}", "Accept-Encoding: identity")
    assert (await bench.get(*asked)).body == body
    outcome = await bench.open(*asked, *lines)
    assert isinstance(outcome.answer.body, Flow)
    await outcome.answer.body.reader.read()
    outcome.answer.body.reader.close()
    await bench.settled()
    assert len(bench.store.at(kept_key(held, Coding.IDENTITY))) == kept
    assert [body.closed for body in bench.store.opened] == [1, 1]
    assert (await bench.get(*asked)).body == body
    assert len(bench.store.at(kept_key(held, Coding.IDENTITY))) == 1
