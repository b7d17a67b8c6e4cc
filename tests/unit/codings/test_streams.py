"""Decoders and encoders: nothing is lost at any split, nothing cut passes for whole."""

from __future__ import annotations

import gzip
import importlib.util
import random
import struct
import sys
import tracemalloc
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.codings import streams
from proxy.codings.options import CodingOptions
from proxy.codings.registry import Chain, Coding
from proxy.codings.streams import STEP, Corrupt, Decoder, Encoder, TooMuch, Undecodable
from proxy.codings.windows import Windows, brotli_window

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

law = settings(derandomize=True, max_examples=50, deadline=None)

ZSTD, BR, GZIP, DEFLATE = Coding.ZSTD, Coding.BR, Coding.GZIP, Coding.DEFLATE
OPTIONS: Final = CodingOptions()
TEXT: Final = b"It is a truth universally acknowledged, that a cache in possession. " * 3
NOISE: Final = random.Random(1).randbytes(700_000)
CHAINS: Final[list[Chain]] = [
    (GZIP,),
    (DEFLATE,),
    (BR,),
    (ZSTD,),
    (GZIP, BR),
    (ZSTD, GZIP),
    (DEFLATE, ZSTD),
]


@pytest.mark.parametrize("coding", [BR, ZSTD])
def test_what_decoders_remember_is_bounded_together(coding: Coding) -> None:
    """One may have all of a window; of many nobody has much, and all is given back."""
    windows, room = Windows(), 2**21
    body = NOISE + NOISE[::-1]
    encoder = Encoder(coding, OPTIONS)
    wire = encoder.feed(body) + encoder.end()
    alone = Decoder((coding,), windows=windows, room=room)
    assert b"".join(alone.pieces(wire)) == body
    assert 2**20 <= windows.octets <= 2**21
    del alone
    assert (windows.decoders, windows.octets) == (0, 0)
    many = [Decoder((coding,), windows=windows, room=room) for _ in range(8)]
    refused = 0
    for decoder in many:
        try:
            for piece in decoder.pieces(wire):
                assert piece
        except TooMuch:
            refused += 1
    assert refused >= 6
    small = Decoder((coding,), windows=windows, room=room)
    encoder = Encoder(coding, OPTIONS)
    wire = encoder.feed(TEXT) + encoder.end()
    assert b"".join(small.pieces(wire)) == TEXT, "what is small is decoded in any case"
    del many, small, decoder
    assert (windows.decoders, windows.octets) == (0, 0)


@pytest.mark.parametrize("bits", range(10, 25))
def test_the_window_of_brotli_is_what_its_head_says(bits: int) -> None:
    octets = brotli.Compressor(lgwin=bits)
    first = (octets.process(b"hello") + octets.finish())[0]
    assert brotli_window(first) == 2**bits


def test_a_window_that_fills_unseen_is_counted_as_full() -> None:
    windows = Windows()
    encoder = Encoder(BR, OPTIONS)
    wire = encoder.feed(bytes(2**20)) + encoder.end()
    decoder = Decoder((BR,), windows=windows, room=2**19)
    with pytest.raises(TooMuch):
        decoder.feed(wire)
    assert windows.octets == 2**20, "as Encoder has it, and the head of the stream says"


def raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


def encode_zstd(body: bytes, window: int = 21) -> bytes:
    """As a stream: without the length of the body in its head."""
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: window,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    stream = zstd.ZstdCompressor(options=options)
    return stream.compress(body) + stream.flush()


ENCODERS: Final = {
    GZIP: gzip.compress,
    DEFLATE: zlib.compress,
    BR: brotli.compress,
    ZSTD: encode_zstd,
}


def coded(body: bytes, chain: Chain) -> bytes:
    for coding in chain:
        body = ENCODERS[coding](body)
    return body


def skippable(octets: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A5F, len(octets)) + octets


def decoded(chain: Chain, pieces: Iterable[bytes]) -> bytes:
    """Raises Undecodable."""
    decoder = Decoder(chain)
    body = b"".join(octets for piece in pieces for octets in decoder.pieces(piece))
    decoder.end()
    assert decoder.octets_out == len(body)
    return body


def split(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


BODIES: Final = st.binary(max_size=300) | st.builds(
    lambda piece, times: piece * times, st.binary(min_size=1, max_size=9), st.integers(0, 90_000)
)
CUTS: Final = st.lists(st.integers(0, 10**6), max_size=9)


@law
@given(BODIES, CUTS, CUTS, st.sampled_from([GZIP, BR, ZSTD]), st.booleans())
def test_what_is_encoded_comes_back_at_every_split(
    body: bytes, cuts: list[int], others: list[int], coding: Coding, flushing: bool
) -> None:
    encoder = Encoder(coding, OPTIONS)
    pieces = []
    for piece in split(body, cuts):
        pieces.append(encoder.feed(piece))
        if flushing:
            pieces.append(encoder.flush())
    pieces.append(encoder.end())
    whole = b"".join(pieces)
    assert (encoder.octets_in, encoder.octets_out) == (len(body), len(whole))
    assert decoded((coding,), pieces) == body
    assert decoded((coding,), split(whole, others)) == body


@law
@given(BODIES, CUTS, st.sampled_from(CHAINS))
def test_what_others_encode_comes_back_at_every_split(
    body: bytes, cuts: list[int], chain: Chain
) -> None:
    assert decoded(chain, split(coded(body, chain), cuts)) == body


# RFC 1951 §3.2.4: a stored block, whose padding is not zero, and an empty last one.
ODD_PADDING: Final = b"\x08\x01\x00\xfe\xffa\x01\x00\x00\xff\xff"
WILD = [
    pytest.param(GZIP, gzip.compress(TEXT) + gzip.compress(b"more"), TEXT + b"more", id="members"),
    pytest.param(GZIP, gzip.compress(TEXT) + bytes(512), TEXT, id="gzip padded with zeros"),
    pytest.param(
        GZIP, gzip.compress(TEXT) + bytes(9) + gzip.compress(b"x"), TEXT + b"x", id="zeros between"
    ),
    pytest.param(GZIP, gzip.compress(b"") * 200 + gzip.compress(TEXT), TEXT, id="empty members"),
    pytest.param(DEFLATE, zlib.compress(TEXT), TEXT, id="deflate in the zlib format"),
    pytest.param(DEFLATE, zlib.compress(TEXT, wbits=9), TEXT, id="zlib with a small window"),
    pytest.param(DEFLATE, raw_deflate(TEXT), TEXT, id="deflate raw"),
    pytest.param(DEFLATE, raw_deflate(b""), b"", id="deflate raw, empty"),
    pytest.param(DEFLATE, raw_deflate(NOISE[:99]), NOISE[:99], id="deflate raw, stored"),
    pytest.param(DEFLATE, ODD_PADDING, b"a", id="deflate raw that is almost a zlib header"),
    pytest.param(ZSTD, zstd.compress(TEXT) + zstd.compress(b"x"), TEXT + b"x", id="frames"),
    pytest.param(
        ZSTD, skippable(b"ab") + zstd.compress(TEXT) + skippable(b""), TEXT, id="skippable frames"
    ),
    pytest.param(ZSTD, zstd.compress(b"") * 200 + zstd.compress(TEXT), TEXT, id="empty frames"),
    pytest.param(ZSTD, encode_zstd(TEXT, window=23), TEXT, id="RFC 9659 3 a window of 8 MiB"),
    pytest.param(BR, brotli.compress(TEXT, lgwin=24), TEXT, id="br with its largest window"),
]


@pytest.mark.parametrize(("coding", "wire", "body"), WILD)
@pytest.mark.parametrize("size", [1, 2, 7, 10**6])
def test_forms_seen_in_the_wild(coding: Coding, wire: bytes, body: bytes, size: int) -> None:
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert decoded((coding,), pieces) == body


def test_raw_deflate_is_never_taken_for_zlib() -> None:
    for number in range(500):
        assert decoded((DEFLATE,), [raw_deflate(b"%d" % number)]) == b"%d" % number


@pytest.mark.parametrize("chain", [*CHAINS, (BR, BR)], ids=str)
def test_cut_anywhere_it_is_corrupt(chain: Chain) -> None:
    wire = coded(TEXT, chain)
    for length in range(len(wire)):
        with pytest.raises(Corrupt):
            decoded(chain, [wire[:length]])
        with pytest.raises(Corrupt):
            decoded(chain, split(wire[:length], [length // 2]))


@pytest.mark.parametrize("chain", [chain for chain in CHAINS if len(chain) > 1], ids=str)
def test_a_whole_body_of_a_cut_one_is_corrupt(chain: Chain) -> None:
    cut = coded(TEXT, chain[:1])[:-1]
    with pytest.raises(Corrupt):
        decoded(chain, [coded(cut, chain[1:])])


def test_raw_deflate_cut_anywhere_is_corrupt() -> None:
    wire = raw_deflate(TEXT)
    for length in range(len(wire)):
        with pytest.raises(Corrupt):
            decoded((DEFLATE,), [wire[:length]])


@pytest.mark.parametrize(("coding", "wire", "body"), WILD)
def test_a_second_member_cut_is_corrupt(coding: Coding, wire: bytes, body: bytes) -> None:
    if coding in {GZIP, ZSTD}:
        more = wire + ENCODERS[coding](TEXT)
        for length in range(len(wire) + 1, len(more)):
            with pytest.raises(Corrupt):
                decoded((coding,), [more[:length]])


LARGE: Final = {
    GZIP: gzip.compress(NOISE, 1),
    DEFLATE: zlib.compress(NOISE, 1),
    BR: brotli.compress(NOISE, quality=3, lgwin=16),
    ZSTD: encode_zstd(NOISE),
}


@law
@given(st.sampled_from(list(LARGE)), st.integers(0, 10**6), CUTS)
def test_large_bodies_cut_anywhere_are_corrupt(
    coding: Coding, length: int, cuts: list[int]
) -> None:
    wire = LARGE[coding]
    with pytest.raises(Corrupt):
        decoded((coding,), split(wire[: length % len(wire)], cuts))
    assert decoded((coding,), split(wire, cuts)) == NOISE


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        pytest.param(GZIP, gzip.compress(TEXT) + b"x", id="gzip, then garbage"),
        pytest.param(GZIP, gzip.compress(TEXT) + b"\n", id="gzip, then a line feed"),
        pytest.param(GZIP, gzip.compress(TEXT) + b"\0\0x", id="gzip, zeros, then garbage"),
        pytest.param(GZIP, b"\0" + gzip.compress(TEXT), id="zeros before gzip"),
        pytest.param(GZIP, b"<html>", id="no gzip at all"),
        pytest.param(GZIP, gzip.compress(TEXT)[:-8] + bytes(8), id="gzip of another check sum"),
        pytest.param(GZIP, zlib.compress(TEXT), id="zlib is not gzip"),
        pytest.param(DEFLATE, zlib.compress(TEXT) + b"x", id="zlib, then garbage"),
        pytest.param(DEFLATE, zlib.compress(TEXT) * 2, id="zlib twice"),
        pytest.param(DEFLATE, raw_deflate(TEXT) + b"\0", id="raw deflate, then a zero"),
        pytest.param(DEFLATE, zlib.compress(TEXT)[:-4] + bytes(4), id="zlib of another check sum"),
        pytest.param(DEFLATE, b"\x78\xbb\x01\x02\x03\x04", id="zlib with a dictionary"),
        pytest.param(DEFLATE, b"<html>", id="no deflate at all"),
        pytest.param(ZSTD, zstd.compress(TEXT) + b"x" * 9, id="zstd, then garbage"),
        pytest.param(ZSTD, zstd.compress(TEXT) + bytes(9), id="zstd, then zeros"),
        pytest.param(ZSTD, encode_zstd(TEXT)[:-4] + bytes(4), id="zstd of another check sum"),
        pytest.param(ZSTD, b"<html></html>", id="no zstd at all"),
        pytest.param(BR, brotli.compress(TEXT) + b"x", id="br, then garbage"),
        pytest.param(BR, brotli.compress(TEXT) * 2, id="br twice"),
        pytest.param(BR, b"\xff" * 9, id="no br at all"),
    ],
)
@pytest.mark.parametrize("size", [1, 10**6])
def test_corrupt(coding: Coding, wire: bytes, size: int) -> None:
    with pytest.raises(Corrupt):
        decoded((coding,), [wire[start : start + size] for start in range(0, len(wire), size)])


@law
@given(st.sampled_from(CHAINS), st.binary(min_size=1, max_size=40))
def test_any_octets_are_decoded_or_undecodable(chain: Chain, wire: bytes) -> None:
    try:
        body = decoded(chain, [wire])
    except Undecodable:
        return
    assert decoded(chain, [wire[:1], wire[1:]]) == body


@pytest.mark.parametrize("window", [24, 27])
@pytest.mark.parametrize("size", [1, 10**6])
def test_a_zstd_window_beyond_8_mib_is_too_much(window: int, size: int) -> None:
    wire = encode_zstd(TEXT, window)
    tracemalloc.start()
    with pytest.raises(TooMuch):
        decoded((ZSTD,), [wire[start : start + size] for start in range(0, len(wire), size)])
    tracemalloc.stop()


def bomb(coding: Coding, mebibytes: int) -> bytes:
    blanks = bytes(2**20)
    match coding:
        case Coding.GZIP:
            stream = zlib.compressobj(9, zlib.DEFLATED, 31)
            octets = [stream.compress(blanks) for _ in range(mebibytes)]
            return b"".join([*octets, stream.flush()])
        case Coding.DEFLATE:
            deflating = zlib.compressobj(9)
            octets = [deflating.compress(blanks) for _ in range(mebibytes)]
            return b"".join([*octets, deflating.flush()])
        case _:
            encoder = Encoder(coding, OPTIONS)
            octets = [encoder.feed(blanks) for _ in range(mebibytes)]
            return b"".join([*octets, encoder.end()])


MEBIBYTES: Final = 48


@pytest.mark.parametrize("coding", [GZIP, DEFLATE, BR, ZSTD])
def test_a_bomb_comes_out_in_steps(coding: Coding) -> None:
    wire = bomb(coding, MEBIBYTES)
    assert len(wire) < MEBIBYTES * 2**20 / 900
    decoder = Decoder((coding,))
    tracemalloc.start()
    octets, size, calls = decoder.feed(wire), 0, 1
    while octets or decoder.pending:
        assert len(octets) <= STEP
        size += len(octets)
        octets = decoder.feed()
        calls += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    decoder.end()
    assert (decoder.octets_in, decoder.octets_out) == (len(wire), size)
    assert size == MEBIBYTES * 2**20
    assert calls > size / STEP
    assert peak < 4 * STEP


def test_a_bomb_in_a_bomb_comes_out_in_steps() -> None:
    wire = gzip.compress(bomb(GZIP, MEBIBYTES))
    decoder = Decoder((GZIP, GZIP))
    tracemalloc.start()
    largest = max(map(len, decoder.pieces(wire)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    decoder.end()
    assert largest <= STEP
    assert peak < 6 * STEP


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(gzip.compress(skippable(bytes(8 * 2**20))), id="of what is skipped"),
        pytest.param(gzip.compress(zstd.compress(b"") * 9999), id="of frames without octets"),
    ],
)
def test_a_bomb_of_nothing_takes_many_calls(wire: bytes) -> None:
    decoder = Decoder((ZSTD, GZIP))
    assert decoder.feed(wire) == b""
    calls = 1
    while decoder.pending:
        assert decoder.feed() == b""
        calls += 1
    decoder.end()
    assert calls >= 32


@pytest.mark.parametrize(
    ("limits", "mebibytes"),
    [
        pytest.param({"most": 3 * 2**20}, 4, id="octets in all"),
        pytest.param({"ratio": 500}, 9, id="ratio"),
    ],
)
@pytest.mark.parametrize("coding", [GZIP, DEFLATE, BR, ZSTD])
def test_too_much(coding: Coding, limits: dict[str, int], mebibytes: int) -> None:
    decoder = Decoder((coding,), most=limits.get("most", 0), ratio=limits.get("ratio", 0))
    with pytest.raises(TooMuch):
        list(decoder.pieces(bomb(coding, mebibytes)))
    assert decoder.octets_out <= mebibytes * 2**20


BOMBS_OF_TWO: Final[dict[str, tuple[Chain, Callable[[], bytes]]]] = {
    "a bomb in a bomb": ((GZIP, GZIP), lambda: gzip.compress(bomb(GZIP, 64))),
    "what is skipped": ((ZSTD, GZIP), lambda: gzip.compress(skippable(bytes(64 * 2**20)))),
    "frames without octets": ((ZSTD, GZIP), lambda: gzip.compress(zstd.compress(b"") * 10**6)),
}


@pytest.mark.parametrize("name", BOMBS_OF_TWO)
def test_the_ratio_is_that_of_all_that_is_made_on_the_way(name: str) -> None:
    chain, make = BOMBS_OF_TWO[name]
    wire = make()
    decoder = Decoder(chain, ratio=100)
    with pytest.raises(TooMuch, match="100 times"):
        [decoder.feed(b"" if call else wire) for call in range(200)]


@pytest.mark.parametrize("coding", [GZIP, BR, ZSTD])
def test_a_feed_that_comes_an_octet_at_a_time_is_no_bomb(coding: Coding) -> None:
    wire, decoder = LARGE[coding][:100_000], Decoder((coding,), ratio=10)
    size = sum(len(decoder.feed(wire[n : n + 1])) for n in range(len(wire)))
    assert size > 50_000


@pytest.mark.parametrize(
    ("limits", "mebibytes"),
    [
        pytest.param({"most": 3 * 2**20}, 3, id="octets in all"),
        pytest.param({"ratio": 500}, 8, id="a ratio counts from some octets on"),
        pytest.param({"ratio": 2000}, 16, id="ratio"),
        pytest.param({}, 16, id="no limit"),
    ],
)
def test_not_too_much(limits: dict[str, int], mebibytes: int) -> None:
    decoder = Decoder((GZIP,), most=limits.get("most", 0), ratio=limits.get("ratio", 0))
    size = sum(map(len, decoder.pieces(bomb(GZIP, mebibytes))))
    decoder.end()
    assert size == mebibytes * 2**20


def test_the_end_is_no_end_while_there_are_octets_to_fetch() -> None:
    decoder = Decoder((GZIP,))
    decoder.feed(bomb(GZIP, 1))
    with pytest.raises(ValueError, match="octets to fetch"):
        decoder.end()


@pytest.mark.parametrize("body", [NOISE[:1000] * 1500, NOISE], ids=["repetitions", "noise"])
@pytest.mark.parametrize("coding", [GZIP, DEFLATE, BR, ZSTD])
def test_more_may_be_fed_before_all_is_fetched(coding: Coding, body: bytes) -> None:
    wire = LARGE[coding] if body is NOISE else ENCODERS[coding](body)
    decoder = Decoder((coding,))
    octets = [decoder.feed(piece) for piece in split(wire, [len(wire) // 2])]
    octets += decoder.pieces(b"")
    decoder.end()
    assert b"".join(octets) == body


@pytest.mark.parametrize(("coding", "bits"), [(GZIP, 31), (DEFLATE, 15)])
def test_all_that_can_be_decoded_is_not_held_back(coding: Coding, bits: int) -> None:
    wire = bomb(coding, 1)
    for length in range(150, 450):
        whole = zlib.decompressobj(bits).decompress(wire[:length])
        assert sum(map(len, Decoder((coding,)).pieces(wire[:length]))) == len(whole)


@pytest.mark.parametrize("coding", [GZIP, BR, ZSTD])
def test_what_is_flushed_can_be_read(coding: Coding) -> None:
    encoder, decoder = Encoder(coding, OPTIONS), Decoder((coding,))
    for line in (b"data: 1\n\n", b"data: 2\n\n"):
        assert decoder.feed(encoder.feed(line) + encoder.flush()) == line
    assert encoder.flush() == b""
    assert decoder.feed(encoder.end()) == b""
    decoder.end()


@pytest.mark.parametrize("coding", [GZIP, BR, ZSTD])
def test_levels(coding: Coding) -> None:
    body = " ".join(random.Random(2).choices(dir(zlib) + dir(random), k=20_000)).encode()
    least = CodingOptions(gzip_level=1, br_level=0, zstd_level=1)
    most = CodingOptions(gzip_level=3, br_level=9, zstd_level=19)
    sizes = []
    for options in (least, most):
        encoder = Encoder(coding, options)
        sizes.append(len(encoder.feed(body) + encoder.end()))
    assert sizes[1] < sizes[0] < len(body)


@pytest.mark.parametrize("coding", [DEFLATE, Coding.IDENTITY])
def test_what_is_not_encoded(coding: Coding) -> None:
    with pytest.raises(ValueError, match=coding.value):
        Encoder(coding, OPTIONS)


def test_gzip_where_there_is_no_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    spec = importlib.util.spec_from_file_location("streams_without_isal", streams.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.deflating is zlib
    encoder = module.Encoder(GZIP, OPTIONS)
    wire = encoder.feed(TEXT) + encoder.flush() + encoder.end()
    assert gzip.decompress(wire) == TEXT
