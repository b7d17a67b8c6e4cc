"""What is an object's own coding goes as it came to everybody, and what is decoded has a length.

Each row of ``OWN`` is fetched by a client that takes the coding and then by one that takes none.
"""

from __future__ import annotations

import gzip
import random
import zlib
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import Gate, Origin, chunk, head, reply

if TYPE_CHECKING:
    from tests.conftest import StartHouse
    from tests.support.house import House

WORDS: Final = (
    b"so much of what there is to say has been said before and will be said again".split()
)
TEXT: Final = b" ".join(random.Random(7).choices(WORDS, k=60_000))
SMALL: Final = TEXT[:3000]
FRESH: Final = "Cache-Control: max-age=600"
PLAIN: Final = "Content-Type: text/plain"
GZIPPED: Final = "Content-Encoding: gzip"
AMZ_META: Final = "x-amz-meta-md5chksum: XrY7u+Ae7tCTyyK7j1rNww=="

OWN: Final = [
    pytest.param("/a", ("Content-Digest: sha-256=:x:",), id="9530 Content-Digest"),
    pytest.param("/a", ("Repr-Digest: sha-256=:x:",), id="9530 Repr-Digest"),
    pytest.param("/a", ("Content-MD5: XrY7u+Ae7tCTyyK7j1rNww==",), id="Content-MD5"),
    pytest.param("/a", ("x-amz-checksum-crc32c: yZRlqg==",), id="S3 checksum"),
    pytest.param("/a", (AMZ_META,), id="S3 metadata"),
    pytest.param("/a", ("x-goog-hash: crc32c=n03x6A==",), id="GCS hash"),
    pytest.param("/a", ("x-ms-blob-content-md5: x",), id="Azure blob"),
    pytest.param("/a.tar.gz", (), id="suffix"),
    pytest.param("/a.TGZ?x=y", (), id="suffix before a query"),
    pytest.param("/a", ("Content-Type: application/x-tar",), id="type of an archive"),
    pytest.param("/a", ("Content-Type: application/octet-stream",), id="octet-stream"),
    pytest.param("/a", ('Content-Disposition: attachment; filename="b.tar.gz"',), id="name"),
    pytest.param("/a", ("Content-Disposition: attachment; filename*=UTF-8''b.zip",), id="name*"),
]


@pytest.mark.parametrize(("path", "fields"), OWN)
async def test_an_objects_own_coding_stays(
    house: House, origin: Origin, path: str, fields: tuple[str, ...]
) -> None:
    said = fields if fields and fields[0].startswith("Content-Type") else (PLAIN, *fields)
    octets = gzip.compress(SMALL)
    origin.serve(path, reply(200, FRESH, GZIPPED, 'ETag: "1"', *said, body=octets))
    for accept in ("gzip", "identity", None, "br"):
        asked = () if accept is None else (f"Accept-Encoding: {accept}",)
        answer = await house.get(origin.url(path), *asked)
        assert (answer.body, answer.get("content-encoding")) == (octets, "gzip")
        assert (answer.get("etag"), answer.get("vary")) == ('"1"', None)
        name, _, value = said[-1].partition(": ")
        assert answer.get(name) == value
    assert len(origin.requests) == 1


@pytest.mark.parametrize("accept", [None, "identity", "br"])
async def test_what_comes_coded_unasked_is_an_objects_own(
    house: House, origin: Origin, accept: str | None
) -> None:
    octets = gzip.compress(SMALL)
    origin.serve("/a", reply(200, FRESH, PLAIN, GZIPPED, body=octets))
    asked = () if accept is None else (f"Accept-Encoding: {accept}",)
    for fields in (asked, asked, ("Accept-Encoding: gzip",), ("Accept-Encoding: identity",)):
        answer = await house.get(origin.url("/a"), *fields)
        assert (answer.body, answer.get("content-encoding")) == (octets, "gzip")
    assert len(origin.requests) == 1


async def test_octets_with_a_digest_are_not_encoded(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"coding": {"encode": "always"}})
    for path, directive in (("/a", FRESH), ("/b", "Cache-Control: no-store")):
        origin.serve(path, reply(200, PLAIN, directive, "Repr-Digest: sha-256=:x:", body=SMALL))
        for _ in range(2):
            answer = await house.get(origin.url(path), "Accept-Encoding: gzip")
            assert (answer.body, answer.get("repr-digest")) == (SMALL, "sha-256=:x:")


async def test_no_transform_has_a_variant_for_who_refuses_the_coding(
    house: House, origin: Origin
) -> None:
    directive = f"{FRESH}, no-transform"
    octets = gzip.compress(SMALL)
    origin.serve("/a", reply(200, PLAIN, directive, GZIPPED, body=octets))
    origin.serve("/a", reply(200, PLAIN, directive, body=SMALL))
    for _ in range(2):
        coded = await house.get(origin.url("/a"), "Accept-Encoding: gzip")
        assert (coded.body, coded.get("content-encoding")) == (octets, "gzip")
        plain = await house.get(origin.url("/a"), "Accept-Encoding: gzip;q=0, *;q=0.5")
        assert (plain.body, plain.get("content-encoding")) == (SMALL, None)
    assert len(origin.requests) == 2


async def test_what_a_validation_fixes_is_for_those_who_take_it(
    house: House, origin: Origin
) -> None:
    gate, octets, fixed = Gate(), gzip.compress(SMALL), f"{FRESH}, no-transform"
    origin.serve("/a", reply(200, "Cache-Control: no-cache", GZIPPED, 'ETag: "1"', body=octets))
    origin.serve("/a", gate, reply(304, fixed, 'ETag: "1"'))
    origin.serve("/a", reply(200, fixed, 'ETag: "2"', body=SMALL))
    await house.get(origin.url("/a"), "Accept-Encoding: gzip")
    leader = await house.open(origin.url("/a"), "Accept-Encoding: identity")
    await gate.reached()
    follower = await house.open(origin.url("/a"), "Accept-Encoding: identity")
    await house.get(origin.url("/b"))
    gate.open()
    for answer in (await leader.whole(), await follower.whole()):
        assert (answer.body, answer.get("content-encoding")) == (SMALL, None)


@pytest.mark.parametrize("text", [SMALL, TEXT], ids=["small", "large"])
@pytest.mark.parametrize("accept", [(), ("Accept-Encoding: identity",)], ids=["silent", "identity"])
async def test_what_is_decoded_has_its_length_and_its_ranges(
    house: House, origin: Origin, text: bytes, accept: tuple[str, ...]
) -> None:
    octets = gzip.compress(text)
    origin.serve("/a", reply(
        200, PLAIN, FRESH, GZIPPED, 'ETag: "1"', "Accept-Ranges: bytes", body=octets,
    ))  # fmt: skip
    url, size = origin.url("/a"), len(text)
    await house.get(url, "Accept-Encoding: gzip")
    first = await house.get(url, *accept, method="HEAD")
    assert (first.get("content-length"), first.get("accept-ranges")) == (str(size), "bytes")
    assert first.get("content-encoding") is None
    part = await house.get(url, *accept, f"Range: bytes={size - 500}-")
    assert (part.status, part.body) == (206, text[-500:])
    assert part.get("content-range") == f"bytes {size - 500}-{size - 1}/{size}"
    whole = await house.get(url, *accept)
    assert (whole.get("content-length"), whole.body) == (str(size), text)
    several = await house.get(url, *accept, "Range: bytes=0-9,20-29")
    assert several.status in (200, 206)
    assert text[:10] in several.body
    resumed = await house.get(
        url, *accept, "Range: bytes=100-199", f"If-Range: {whole.get('etag')}"
    )
    assert (resumed.status, resumed.body) == (206, text[100:200])
    # The origin's own tag names other octets.
    other = await house.get(url, *accept, "Range: bytes=100-199", 'If-Range: "1"')
    assert (other.status, other.body) == (200, text)
    beyond = await house.get(url, *accept, f"Range: bytes={size}-")
    assert (beyond.status, beyond.get("content-range")) == (416, f"bytes */{size}")
    assert len(origin.requests) == 1


async def test_a_decoded_form_that_is_too_large_to_keep_has_ranges(
    start_house: StartHouse, origin: Origin
) -> None:
    house = await start_house({"cache": {"max_object_size": "64KiB"}})
    octets = gzip.compress(bytes(300_000) + SMALL)
    origin.serve("/a", reply(200, PLAIN, FRESH, GZIPPED, body=octets))
    await house.get(origin.url("/a"), "Accept-Encoding: gzip")
    for _ in range(3):
        part = await house.get(origin.url("/a"), "Range: bytes=299990-300009")
        assert (part.status, part.body) == (206, bytes(10) + SMALL[:10])
    assert len(origin.requests) == 1


@pytest.mark.parametrize("fields", [
    ("Content-Type: application/x-ndjson", FRESH),
    ("Content-Type: application/x-ndjson", "Cache-Control: no-store"),
    ("Content-Type: text/event-stream", "Cache-Control: no-cache"),
    ("Content-Type: application/json", "X-Accel-Buffering: no", FRESH),
])  # fmt: skip
@pytest.mark.parametrize("coded", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("encode", ["auto", "always"])
async def test_a_live_feed_comes_line_by_line(
    start_house: StartHouse, origin: Origin, fields: tuple[str, ...], coded: bool, encode: str
) -> None:
    house = await start_house({"coding": {"encode": encode}})
    compress = zlib.compressobj(wbits=31)

    def line(text: bytes) -> bytes:
        return compress.compress(text) + compress.flush(2) if coded else text  # Z_SYNC_FLUSH

    gates = [Gate() for _ in range(3)]
    steps: list[bytes | Gate] = []
    for number, gate in enumerate(gates):
        steps += [chunk(line(b'{"n": %d}\n' % number)), gate]
    last = compress.flush() if coded else b""
    said = (*fields, *((GZIPPED,) if coded else ()), "Transfer-Encoding: chunked")
    origin.serve("/a", head(200, *said), *steps, (chunk(last) if last else b"") + b"0\r\n\r\n")
    reader = await house.open(origin.url("/a"), "Accept-Encoding: gzip")
    answer = await reader.head()
    seen = b""
    decoder = zlib.decompressobj(wbits=31)
    for number, gate in enumerate(gates):
        expected = b"".join(b'{"n": %d}\n' % n for n in range(number + 1))
        while seen != expected:
            piece = await reader.some()
            seen += decoder.decompress(piece) if answer.get("content-encoding") else piece
        gate.open()


async def test_a_head_in_another_coding_says_nothing_of_what_is_stored(
    house: House, origin: Origin
) -> None:
    """RFC 9111 §4.3.5 is about the same representation; a HEAD may have selected another."""
    stale, url = "Cache-Control: max-age=0, stale-if-error=600", origin.url("/a")
    octets = gzip.compress(SMALL)
    origin.serve("/a", reply(200, PLAIN, stale, GZIPPED, body=octets))
    origin.serve("/a", head(200, PLAIN, stale, "Content-Length: 3000"))
    origin.serve("/a", reply(503))
    await house.get(url, "Accept-Encoding: gzip")
    await house.get(url, method="HEAD")
    answer = await house.get(url, "Accept-Encoding: gzip")
    assert (answer.status, answer.body) == (200, octets)
