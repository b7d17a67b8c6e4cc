"""Bodies in another coding as they are read, and coded bodies that prove to be whole."""

from __future__ import annotations

import asyncio
import gzip
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.codings.streams import TooMuch, Undecodable
from proxy.exchange.transcoding import PIECE, SMALL, Ready, Transcoded, Verifier, Workshop
from proxy.semantics.units import Octets
from proxy.store.base import BodyLost
from proxy.upstream.base import BadResponse, Lost
from tests.support.build import resp
from tests.support.fakes import FakeResponse
from tests.support.stored import stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.exchange.answer import BodyReader

NOISE = random.Random(3).randbytes(200_000)
BLANKS = bytes(3_000_000)
GZIP = (Coding.GZIP,)


@pytest.fixture
def shop() -> Iterator[Workshop]:
    made = Workshop(CodingOptions())
    yield made
    made.close()


async def whole(reader: BodyReader) -> bytes:
    octets = b""
    while piece := await reader.read():
        octets += piece
    return octets


def flowing(*pieces: bytes) -> FakeResponse:
    return FakeResponse(resp(200), pieces, None)


def in_pieces(octets: bytes, size: int) -> FakeResponse:
    return flowing(*(octets[n : n + size] for n in range(0, len(octets), size)))


@pytest.mark.parametrize("text", [b"x", NOISE, BLANKS], ids=["one octet", "noise", "blanks"])
@pytest.mark.parametrize("size", [1000, PIECE, 10**7], ids=["small", "as given", "at once"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "stored"])
async def test_decoded_and_encoded(shop: Workshop, text: bytes, size: int, *, live: bool) -> None:
    coded = gzip.compress(text)
    decoded = Transcoded(shop, in_pieces(coded, size), (GZIP, None), live=live)
    assert await whole(decoded) == text
    encoded = Transcoded(shop, in_pieces(text, size), ((), Coding.GZIP), live=live)
    assert gzip.decompress(await whole(encoded)) == text
    both = Transcoded(shop, in_pieces(coded, size), (GZIP, Coding.ZSTD), live=live)
    assert await whole(Transcoded(shop, both, ((Coding.ZSTD,), None), live=live)) == text
    assert (decoded.length, decoded.at_hand()) == (None, None)


async def test_it_is_counted(shop: Workshop) -> None:
    coded = gzip.compress(NOISE)
    await whole(Transcoded(shop, flowing(coded), (GZIP, None), live=False))
    made = await whole(Transcoded(shop, flowing(NOISE), ((), Coding.GZIP), live=False))
    counts = shop.counts
    assert (counts.decoded_in, counts.decoded_out) == (len(coded), len(NOISE))
    assert (counts.encoded_in, counts.encoded_out) == (len(NOISE), len(made))
    assert counts.seconds > 0
    assert f"{len(coded)} octets decoded to {len(NOISE)}" in str(counts)


async def test_what_is_live_is_not_held_back(shop: Workshop) -> None:
    encoded = Transcoded(shop, flowing(b"first", b"second"), ((), Coding.GZIP), live=True)
    decoded = Transcoded(shop, encoded, (GZIP, None), live=True)
    assert await decoded.read() == b"first"


@pytest.mark.parametrize("cut", [1, 20, 100])
async def test_what_is_cut_never_ends(shop: Workshop, cut: int) -> None:
    reader = Transcoded(shop, flowing(gzip.compress(NOISE)[:-cut]), (GZIP, None), live=False)
    with pytest.raises(BadResponse) as caught:
        await whole(reader)
    assert (caught.value.status, caught.value.word) == (502, "http_response_content_coding")
    assert shop.counts.refused == 1


async def test_a_body_of_nothing_ends(shop: Workshop) -> None:
    assert await whole(Transcoded(shop, flowing(), (GZIP, None), live=False)) == b""


async def test_a_stored_body_that_is_lost_is_cut(shop: Workshop) -> None:
    class Gone:
        async def read(self) -> bytes:
            raise BodyLost("gone")

        def close(self) -> None:
            """Nothing is open."""

    with pytest.raises(Lost):
        await whole(Transcoded(shop, Gone(), ((), Coding.GZIP), live=False))


async def test_closed_it_ends_and_closes_its_source(shop: Workshop) -> None:
    source = flowing(NOISE)
    reader = Transcoded(shop, source, ((), Coding.GZIP), live=False)
    reader.close()
    assert source.closed == 1
    assert await reader.read() == b""


@pytest.mark.parametrize(
    ("octets", "coding", "expected"),
    [
        pytest.param(gzip.compress(b"hello"), None, b"hello", id="decoded"),
        pytest.param(gzip.compress(NOISE), None, None, id="too large"),
        pytest.param(gzip.compress(bytes(PIECE)), None, bytes(PIECE), id="as large as a piece"),
        pytest.param(gzip.compress(bytes(PIECE + 1)), None, None, id="swells"),
    ],
)
def test_at_once(
    shop: Workshop, octets: bytes, coding: Coding | None, expected: bytes | None
) -> None:
    assert shop.at_once(octets, GZIP, coding) == expected


def test_at_once_encoded(shop: Workshop) -> None:
    made = shop.at_once(b"hello" * 100, (), Coding.GZIP)
    assert made is not None
    assert gzip.decompress(made) == b"hello" * 100


def test_at_once_cut(shop: Workshop) -> None:
    with pytest.raises(Undecodable):
        shop.at_once(gzip.compress(b"hello")[:-1], GZIP, None)


SIZES = {"small": b"hello", "noise": NOISE, "blanks": BLANKS}


@pytest.mark.parametrize("size", [100, SMALL, PIECE, 10**7])
@pytest.mark.parametrize("text", SIZES.values(), ids=SIZES)
async def test_verified_in_pieces(shop: Workshop, text: bytes, size: int) -> None:
    octets, verifier = gzip.compress(text), Verifier(shop, GZIP)
    assert await _fed(verifier, octets, size) == len(text)


async def _fed(verifier: Verifier, octets: bytes, size: int) -> int:
    for n in range(0, len(octets), size):
        await verifier.feed(octets[n : n + size])
    return await verifier.end()


@pytest.mark.parametrize("text", SIZES.values(), ids=SIZES)
async def test_verified_at_once(shop: Workshop, text: bytes) -> None:
    octets, verifier = gzip.compress(text), Verifier(shop, GZIP)
    assert verifier.take(octets) is (len(octets) <= SMALL)
    if len(octets) > SMALL:
        await verifier.feed(octets)
    assert await verifier.end() == len(text)


@pytest.mark.parametrize("end", [b"", b"more"], ids=["cut", "more than its end"])
@pytest.mark.parametrize("text", SIZES.values(), ids=SIZES)
async def test_not_whole(shop: Workshop, text: bytes, end: bytes) -> None:
    coded = gzip.compress(text)
    octets = coded + end if end else coded[:-3]
    with pytest.raises(Undecodable):
        await _verified(Verifier(shop, GZIP), octets)
    assert shop.counts.refused == 1


async def _verified(verifier: Verifier, octets: bytes) -> None:
    if not verifier.take(octets):
        await verifier.feed(octets)
    await verifier.end()


@pytest.mark.parametrize(
    ("line", "verbatim", "verified"),
    [
        pytest.param("Content-Encoding: gzip", False, True, id="coded"),
        pytest.param("Content-Encoding: gzip", True, False, id="its own coding"),
        pytest.param("Content-Encoding: unheard-of", False, False, id="unknown"),
        pytest.param("X: y", False, False, id="in no coding"),
    ],
)
def test_what_others_may_need_decoded_is_verified(
    shop: Workshop, line: str, *, verbatim: bool, verified: bool
) -> None:
    response = replace(stored("max-age=60", line), verbatim=verbatim)
    assert (shop.verifier(response) is not None) is verified


@pytest.mark.parametrize("span", [(0, 5), (7, 20), (199_990, 10), (5, None), (0, None)])
async def test_a_span_of_what_is_made(shop: Workshop, span: tuple[int, int | None]) -> None:
    coded, (first, size) = gzip.compress(NOISE), span
    made = Transcoded(shop, in_pieces(coded, 3000), (GZIP, None), live=False, span=span)
    await made.begin()
    assert await whole(made) == NOISE[first:][:size]
    assert made.length == size


async def test_begun_on_what_is_no_coding(shop: Workshop) -> None:
    made = Transcoded(shop, flowing(NOISE), (GZIP, None), live=False)
    with pytest.raises(BadResponse):
        await made.begin()


async def test_limits_refuse_what_comes_and_not_what_is_stored() -> None:
    shop, coded = Workshop(CodingOptions(max_decoded=Octets(1000))), gzip.compress(NOISE)
    with pytest.raises(BadResponse):
        await whole(Transcoded(shop, flowing(coded), (GZIP, None), live=True))
    assert await whole(Transcoded(shop, flowing(coded), (GZIP, None), live=False)) == NOISE
    shop.close()


@pytest.mark.parametrize("size", [100, SMALL, PIECE, 10**7])
async def test_verifying_has_a_budget(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    octets, verifier = gzip.compress(NOISE), Verifier(shop, GZIP)
    monkeypatch.setattr("proxy.exchange.transcoding.CPU", 0.0)
    monkeypatch.setattr("proxy.exchange.transcoding.CPU_PER_OCTET", 0.0)
    with pytest.raises(TooMuch, match="seconds"):
        await _fed(verifier, octets, size)
    assert shop.counts.refused == 1


async def test_who_reads_waits_for_as_long_as_it_takes(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.exchange.transcoding.CPU", 0.0)
    monkeypatch.setattr("proxy.exchange.transcoding.CPU_PER_OCTET", 0.0)
    made = Transcoded(shop, in_pieces(gzip.compress(BLANKS), 1000), (GZIP, None), live=True)
    assert await whole(made) == BLANKS


@pytest.mark.parametrize("live", [True, False])
async def test_closed_while_it_decodes_it_does_no_more(shop: Workshop, *, live: bool) -> None:
    reader = Transcoded(shop, flowing(gzip.compress(BLANKS)), (GZIP, None), live=live)
    await reader.begin()
    reading = asyncio.ensure_future(reader.read())
    await reading
    reader.close()
    seconds = shop.counts.seconds
    assert await reader.read() == b""
    assert shop.counts.seconds == seconds


async def test_ready_is_read_once() -> None:
    ready = Ready(b"hello")
    assert (ready.length, ready.at_hand()) == (5, b"hello")
    assert [await ready.read(), await ready.read()] == [b"hello", b""]
    ready.close()
