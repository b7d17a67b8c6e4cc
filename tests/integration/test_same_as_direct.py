"""What a client gets through the proxy it would have got without it, only sooner.

Each row is an origin and what its clients ask. All of it is asked twice, of one origin directly
and of another through the proxy, and what is seen may differ only by ``differences.ALLOWED``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.coding import ENCODE
from tests.support.origin import CLOSE, chunked, head
from tests.support.resources import (
    FRESH,
    GZIPPED,
    NOW,
    PLAIN,
    TEXT,
    Echo,
    Resource,
    live,
    paused,
    plain,
    said,
)
from tests.support.rows import (
    ALL,
    BR,
    GZIP,
    Row,
    both,
    chunked_head,
    get,
    gets,
)

if TYPE_CHECKING:
    from tests.support.sides import Sides


ACCEPTS: Final = (
    "",
    "gzip",
    "identity",
    "*",
    "gzip;q=0",
    "gzip;q=0, *;q=0.5",
    "br;q=0.3,gzip ; q=0.5",
    "zstd, br;q=0.9, gzip;q=0.8",
    "GZIP",
    "x-gzip",
    "unknown",
    "gzip,,deflate",
    "identity;q=0, *",
)
DIGESTS: Final = (
    "Content-Digest: sha-256=:AAAA:",
    "Repr-Digest: sha-256=:AAAA:",
    "Digest: sha-256=AAAA",
    "Content-MD5: AAAA",
    "x-amz-checksum-sha256: AAAA",
    "x-amz-checksum-crc32: AAAA",
    "x-amz-checksum-crc64nvme: AAAA",
    "x-amz-meta-md5: AAAA",
    "x-amz-meta-content-md5: AAAA",
    "x-goog-hash: crc32c=AAAA",
    "x-ms-blob-content-md5: AAAA",
)
OCTETS: Final = "Content-Type: application/octet-stream"
OWN: Final = {
    "application/gzip": ("Content-Type: application/gzip", "/a"),
    "application/x-gzip": ("Content-Type: application/x-gzip", "/a"),
    "application/x-tar": ("Content-Type: application/x-tar", "/a"),
    "application/zip": ("Content-Type: application/zip", "/a"),
    "application/octet-stream": (OCTETS, "/a"),
    "a type with a parameter": ("Content-Type: application/octet-stream; charset=binary", "/a"),
    ".tar.gz": (PLAIN, "/a.tar.gz"),
    ".tgz in capitals": (PLAIN, "/A.TGZ"),
    ".gz with a query": (PLAIN, "/a.gz?token=1"),
    ".svgz": ("Content-Type: image/svg+xml", "/a.svgz"),
    "a name with .gz": ('Content-Disposition: attachment; filename="a.tar.gz"', "/a"),
    "a token with .gz": ("Content-Disposition: attachment; filename=a.csv.gz", "/a"),
    "an extended name with .gz": (
        "Content-Disposition: attachment; filename*=UTF-8''a%20b.tar.gz",
        "/a",
    ),
}
NOISE: Final = bytes((n * 151 + n // 7) % 256 for n in range(3000))
BROKEN: Final = {
    "plain text labelled gzip": ("gzip", TEXT),
    "plain text labelled br": ("br", TEXT),
    "plain text labelled zstd": ("zstd", TEXT),
    "plain text labelled deflate": ("deflate", TEXT),
    "octets after the last member": ("gzip", GZIPPED + b"more\n"),
    "zeros after the last member": ("gzip", GZIPPED + bytes(512)),
    "octets after the frame": ("zstd", ENCODE["zstd"](TEXT) + b"more\n"),
    "octets after the brotli stream": ("br", ENCODE["br"](TEXT) + b"more\n"),
    "octets after the deflate stream": ("deflate", ENCODE["deflate"](TEXT) + b"more\n"),
    "no gzip trailer": ("gzip", GZIPPED[:-8]),
    "half a gzip trailer": ("gzip", GZIPPED[:-4]),
    "a wrong gzip checksum": ("gzip", GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:]),
    "raw deflate": ("deflate", ENCODE["deflate"](TEXT)[2:-4]),
    "random octets labelled br": ("br", NOISE),
    "random octets labelled gzip": ("gzip", NOISE),
    "no octets labelled gzip": ("gzip", b""),
    "gzip labelled gzip twice": ("gzip, gzip", GZIPPED),
    "an unknown coding": ("x-own", TEXT),
}
# What decoders in the field take for whole.
VERIFIED: Final = {"zeros after the last member", "raw deflate", "no octets labelled gzip"}
FEEDS: Final = {
    "NDJSON": ("Content-Type: application/x-ndjson",),
    "NDJSON that is fresh": ("Content-Type: application/x-ndjson", FRESH),
    "event stream": ("Content-Type: text/event-stream", "Cache-Control: no-cache"),
    "unbuffered": (PLAIN, "X-Accel-Buffering: no", "Cache-Control: no-cache"),
    "a log that pauses": (PLAIN, "Cache-Control: no-store"),
    "a page that pauses": ("Content-Type: text/html", FRESH, 'ETag: "v1"'),
}


def broken(name: str) -> list[Row]:
    """Whole at once, and with a pause in it behind which nobody may wait for its end."""
    coding, octets = BROKEN[name]
    fields = (FRESH, PLAIN, 'ETag: "v1"', f"Content-Encoding: {coding}")
    half, own = len(octets) // 2, name not in VERIFIED
    with_length = plain(*fields, body=octets)
    in_chunks = said(chunked_head(*fields) + chunked(*([octets] if octets else [])))
    over = said(head(200, NOW, *fields, "Connection: close") + octets, CLOSE)
    return [
        *gets(f"{name}, with a length", with_length, own=own),
        *gets(f"{name}, chunked", in_chunks, own=own),
        *gets(f"{name}, to the close", over, own=own),
        *gets(f"{name}, with a pause", paused(*fields, body=octets, at=half), get(ALL), own=own),
    ]


def coded(*fields: str, coding: str = "gzip") -> Resource:
    return Resource((FRESH, *fields), coding=coding, vary=None)


NO_TRANSFORM: Final = Resource((f"{FRESH}, no-transform", PLAIN))
REFUSING: Final = "Accept-Encoding: gzip;q=0, *;q=0.5"

CODINGS: Final = [
    *gets(
        "Accept-Encoding goes as it came",
        Echo(),
        get(),
        *(get(f"Accept-Encoding: {value}") for value in ACCEPTS),
    ),
    *gets("two lines of Accept-Encoding", Echo(), get(GZIP, BR), get(GZIP, BR, method="HEAD")),
    *both("compresses as it is asked", Resource(), most=2),
    *both("compresses, with one tag", Resource(tag="W/v1"), most=2),
    *both("compresses without Vary", Resource(vary=None), most=2),
    *both("compresses without tags", Resource(tag=None), most=2),
    *both("compresses without validators", Resource(tag=None, modified=False), most=2),
    *both("compresses in chunks", Resource(framing="chunked")),
    *both("compresses, to the close", Resource(framing="close")),
    *both("compresses, no-store", Resource(("Cache-Control: no-store", PLAIN))),
    *both("compresses, no-cache", Resource(("Cache-Control: no-cache", PLAIN))),
    *both("compresses, private", Resource(("Cache-Control: private, max-age=600", PLAIN))),
    *both("never compresses", Resource(coding="identity"), most=1),
    *both("never compresses, no ranges", Resource(coding="identity", ranges=False), most=1),
    *both("an empty body", Resource(text=b"", coding="identity", ranges=False)),
    *both("no-transform", NO_TRANSFORM),
    *gets(
        "no-transform for who refuses the coding",
        NO_TRANSFORM,
        get(GZIP),
        get(REFUSING),
        get(REFUSING),
        get(GZIP),
    ),
    *(
        row
        for coding in ENCODE
        if coding != "identity"
        for row in both(
            f"{coding} though not asked", coded(PLAIN, coding=coding), own="plain first"
        )
    ),
    *(
        row
        for line in DIGESTS
        for row in both(f"{line.partition(':')[0]}, coded", coded(PLAIN, line), own="always")
    ),
    *(
        row
        for line in DIGESTS
        for row in both(
            f"{line.partition(':')[0]}, plain", coded(PLAIN, line, coding="identity"), own="always"
        )
    ),
    *(
        row
        for name, (line, path) in OWN.items()
        for row in both(f"archive: {name}", coded(line), path, own="always")
    ),
    *(row for name in BROKEN for row in broken(name)),
    *(
        row
        for coding in ENCODE
        for name, fields in FEEDS.items()
        for row in gets(
            f"{name} in {coding}", live(coding, *fields), get(ALL), get(ALL), get(), get(BR)
        )
    ),
    *gets("a feed to the close", live("gzip", PLAIN, framing="close"), get(ALL), get()),
]


@pytest.mark.parametrize("row", CODINGS, ids=str)
def test_same_as_direct(sides: Sides, row: Row) -> None:
    sides.check(row)
