"""Bodies in another coding as they are read, and coded bodies that prove to be whole."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.exchange.transcoding import PIECE, SMALL, Checked, Ready, Transcoded, Workshop
from proxy.semantics.units import Octets
from proxy.store.base import BodyLost
from proxy.upstream.base import BadResponse, Lost
from tests.support.build import resp
from tests.support.fakes import FakeResponse

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
    decoded = Transcoded(shop, in_pieces(coded, size), GZIP, None, live=live)
    assert await whole(decoded) == text
    encoded = Transcoded(shop, in_pieces(text, size), (), Coding.GZIP, live=live)
    assert gzip.decompress(await whole(encoded)) == text
    both = Transcoded(shop, in_pieces(coded, size), GZIP, Coding.ZSTD, live=live)
    assert await whole(Transcoded(shop, both, (Coding.ZSTD,), None, live=live)) == text
    assert (decoded.length, decoded.at_hand()) == (None, None)


async def test_it_is_counted(shop: Workshop) -> None:
    coded = gzip.compress(NOISE)
    await whole(Transcoded(shop, flowing(coded), GZIP, None, live=False))
    made = await whole(Transcoded(shop, flowing(NOISE), (), Coding.GZIP, live=False))
    counts = shop.counts
    assert (counts.decoded_in, counts.decoded_out) == (len(coded), len(NOISE))
    assert (counts.encoded_in, counts.encoded_out) == (len(NOISE), len(made))
    assert counts.seconds > 0
    assert f"{len(coded)} octets decoded to {len(NOISE)}" in str(counts)


async def test_what_is_live_is_not_held_back(shop: Workshop) -> None:
    encoded = Transcoded(shop, flowing(b"first", b"second"), (), Coding.GZIP, live=True)
    decoded = Transcoded(shop, encoded, GZIP, None, live=True)
    assert await decoded.read() == b"first"


@pytest.mark.parametrize("cut", [1, 20, 100])
async def test_what_is_cut_never_ends(shop: Workshop, cut: int) -> None:
    reader = Transcoded(shop, flowing(gzip.compress(NOISE)[:-cut]), GZIP, None, live=False)
    with pytest.raises(BadResponse) as caught:
        await whole(reader)
    assert (caught.value.status, caught.value.word) == (502, "http_response_content_coding")
    assert shop.counts.refused == 1


async def test_a_body_of_nothing_ends(shop: Workshop) -> None:
    assert await whole(Transcoded(shop, flowing(), GZIP, None, live=False)) == b""
    assert await whole(Checked(shop, flowing(), GZIP)) == b""


async def test_a_stored_body_that_is_lost_is_cut(shop: Workshop) -> None:
    class Gone:
        async def read(self) -> bytes:
            raise BodyLost("gone")

        def close(self) -> None:
            """Nothing is open."""

    with pytest.raises(Lost):
        await whole(Transcoded(shop, Gone(), (), Coding.GZIP, live=False))


async def test_closed_it_ends_and_closes_its_source(shop: Workshop) -> None:
    source = flowing(NOISE)
    reader = Transcoded(shop, source, (), Coding.GZIP, live=False)
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
    with pytest.raises(BadResponse):
        shop.at_once(gzip.compress(b"hello")[:-1], GZIP, None)


@pytest.mark.parametrize("size", [100, SMALL, PIECE, 10**7])
@pytest.mark.parametrize("text", [b"hello", NOISE, BLANKS], ids=["small", "noise", "blanks"])
async def test_checked_octets_come_as_they_are(shop: Workshop, text: bytes, size: int) -> None:
    octets = gzip.compress(text)
    assert await whole(Checked(shop, in_pieces(octets, size), GZIP)) == octets


@pytest.mark.parametrize("text", [b"hello", NOISE, BLANKS], ids=["small", "large", "swells"])
async def test_checked_at_hand(shop: Workshop, text: bytes) -> None:
    octets = gzip.compress(text)
    checked = Checked(shop, Ready(octets), GZIP)
    assert checked.length == len(octets)
    at_hand = checked.at_hand()
    assert at_hand == (octets if text == b"hello" else None)
    if at_hand is None:
        assert await whole(checked) == octets


@pytest.mark.parametrize("text", [b"hello", NOISE, BLANKS], ids=["small", "large", "swells"])
async def test_checked_and_cut(shop: Workshop, text: bytes) -> None:
    octets = gzip.compress(text)[:-3]
    checked = Checked(shop, Ready(octets), GZIP)
    with pytest.raises(BadResponse):
        await _taken(checked)
    checked.close()


async def _taken(checked: Checked) -> bytes:
    octets = checked.at_hand()
    return await whole(checked) if octets is None else octets


async def test_limits_refuse() -> None:
    shop = Workshop(CodingOptions(max_decoded=Octets(1000)))
    with pytest.raises(BadResponse):
        await whole(Transcoded(shop, flowing(gzip.compress(NOISE)), GZIP, None, live=False))
    shop.close()


async def test_ready_is_read_once() -> None:
    ready = Ready(b"hello")
    assert (ready.length, ready.at_hand()) == (5, b"hello")
    assert [await ready.read(), await ready.read()] == [b"hello", b""]
    ready.close()
