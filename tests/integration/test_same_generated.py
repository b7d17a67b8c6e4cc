"""Origins and requests that hypothesis makes up: what is seen is the same as directly.

``FORECACHE_ORACLE_SECONDS`` says for how long to look, 30 by default. Longer runs begin with
another seed each time; what is printed of a failure is smaller than what was found first.
"""

from __future__ import annotations

import operator
import os
import secrets
import time
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.asking import Ask
from tests.support.coding import ENCODE
from tests.support.resources import MODIFIED, TEXT, Resource
from tests.support.rows import Row

if TYPE_CHECKING:
    from tests.support.sides import Sides

pytestmark = pytest.mark.slow

SECONDS: Final = float(os.environ.get("FORECACHE_ORACLE_SECONDS", "30"))
# One run of hypothesis; each has a seed of its own.
EXAMPLES: Final = 100
# What hypothesis may add for making a failure small.
SHRINKING: Final = 330
T = TypeVar("T")


TYPES: Final = (
    "text/plain", "text/html; charset=utf-8", "application/json", "application/x-ndjson",
    "text/event-stream", "application/octet-stream", "application/gzip", "image/png", "",
)  # fmt: skip
CONTROLS: Final = (
    "max-age=600", "max-age=600, public", "max-age = 600", "no-cache", "no-store", "private",
    "max-age=0", "max-age=0, must-revalidate", "max-age=600, no-transform", "s-maxage=600", "",
    "max-age=0, stale-while-revalidate=60", "private, max-age=600", 'no-cache="set-cookie"',
)  # fmt: skip
OTHERS: Final = (
    "Set-Cookie: a=1", "Content-MD5: AAAA", "Repr-Digest: sha-256=:AAAA:", "X-Accel-Buffering: no",
    'Content-Disposition: attachment; filename="a.tar.gz"', "x-amz-checksum-crc32: AAAA", "Age: 3",
    "Content-Language: de", "Link: </a>; rel=next", "X-Own: a, b", "X-Own: c", "Expires: 0",
    "Access-Control-Allow-Origin: http://a.test", "Content-Location: /b", "Warning: 199 - none",
)  # fmt: skip
SUFFIXES: Final = ("/a", "/a", "/a.txt", "/a.tar.gz", "/a?b=c", "/a.br")
BODIES: Final = (b"", b"x", b"hello", TEXT[:1000], TEXT, TEXT * 40, bytes(range(256)) * 20)
STATUSES: Final = (*[200] * 12, 201, 203, 204, 206, 301, 302, 404, 410, 500, 503, 599, 600, 999)
FIXED: Final = (*["identity"] * 3, *ENCODE)
CODINGS: Final = (*["asked"] * 5, *FIXED)
LABELS: Final = (*[None] * 8, "gzip", "br", "zstd", "deflate", "x-own")
ACCEPTS: Final = (
    (), (), ("Accept-Encoding: gzip, deflate, br, zstd",), ("Accept-Encoding: gzip",),
    ("Accept-Encoding: identity",), ("Accept-Encoding: br;q=0.5, gzip;q=0.1",),
    ("Accept-Encoding: *",), ("Accept-Encoding: gzip;q=0, *;q=0.5",), ("Accept-Encoding:",),
)  # fmt: skip
SPANS: Final = ("0-", "0-0", "5-9", "-5", "3-", "100000-", "0-99999")
WISHES: Final = (
    (), (), (), (), ("Cache-Control: no-cache",), ("Cache-Control: max-age=0",), ("X-Key: 1",),
    ("X-Key: 2",), ("Cache-Control: no-store",), ("Cache-Control: no-transform",),
    ("Authorization: Basic YTpi",), ("Cookie: a=1",), ("Pragma: no-cache",), ("TE: trailers",),
    ("Cache-Control: max-stale",), ("Origin: http://a.test",), ("Accept-Language: de",),
)  # fmt: skip
CONDITIONS: Final = (
    (), (), (), ("If-None-Match: {etag}",), ("If-Modified-Since: {modified}",),
    ('If-None-Match: "other", W/"more"',), ("If-None-Match: *",), ("If-Match: {etag}",),
    ('If-Match: "other"',), (f"If-Unmodified-Since: {MODIFIED}",),
)  # fmt: skip


@st.composite
def resources(draw: st.DrawFn) -> Resource:
    """An origin that answers as many do, and some of them not well."""
    lines = [f"Content-Type: {kind}" for kind in [draw(st.sampled_from(TYPES))] if kind]
    lines += [f"Cache-Control: {said}" for said in [draw(st.sampled_from(CONTROLS))] if said]
    lines += draw(st.lists(st.sampled_from(OTHERS), max_size=2, unique=True))
    text = draw(st.sampled_from(BODIES))
    # Nothing, and what breaks off, is the same in no two codings.
    breaks = draw(st.integers(0, 7)) == 0
    coding = draw(st.sampled_from(FIXED if breaks or not text else CODINGS))
    status = draw(st.sampled_from(STATUSES))
    keyed = draw(st.integers(0, 4)) == 0
    honest = "Accept-Encoding" if coding == "asked" else ""
    vary = ", ".join(filter(None, ["X-Key" if keyed else "", honest]))
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "close"]))
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    # Where only the close ends a body, nobody can tell that it is cut.
    told = framing == "length" or (framing == "chunked" and minor == 1)
    sizes = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    pauses = draw(st.integers(0, 2)) == 0
    return Resource(
        tuple(lines),
        b"" if status in (204, 304) else text,
        "identity" if status == 204 else coding,
        status,
        tag=draw(st.sampled_from(["v1", "v1", "W/v1", None])),
        modified=draw(st.booleans()),
        conditions=draw(st.integers(0, 5)) > 0,
        ranges=draw(st.booleans()),
        vary=vary or None,
        key="X-Key" if keyed else None,
        label=None if coding == "asked" else draw(st.sampled_from(LABELS)),
        framing=framing,
        pieces=(*sizes, 5000),
        pause=draw(st.integers(1, 2000)) if pauses else None,
        cut=draw(st.integers(1, 2000)) if told and breaks else None,
        minor=minor,
    )


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """One request of one of the clients, which are told apart by what they accept."""
    accept = draw(st.sampled_from(ACCEPTS))
    fields = [*accept, *draw(st.sampled_from(WISHES)), *draw(st.sampled_from(CONDITIONS))]
    method = draw(st.sampled_from([*["GET"] * 8, "HEAD", "POST"]))
    if method == "GET" and draw(st.integers(0, 3)) == 0:
        fields.append(f"Range: bytes={draw(st.sampled_from(SPANS))}")
        fields += draw(st.sampled_from([(), (), ("If-Range: {etag}",), ('If-Range: "other"',)]))
    body = b"content" if method == "POST" else None
    minor = draw(st.sampled_from([1, 1, 1, 1, 0]))
    return Ask("".join(accept) or "bare", tuple(fields), method, body, "", minor)


ROWS: Final = st.builds(
    Row,
    st.just("made up"),
    resources(),
    st.builds(operator.mul, st.lists(asks(), min_size=1, max_size=4), st.integers(1, 3)).map(tuple),
    st.sampled_from(SUFFIXES),
    tunnel=st.sampled_from([False, False, True]),
)


def looked_into(sides: Sides, number: int) -> None:
    """One run of hypothesis with that seed."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    @given(ROWS)
    def same(row: Row) -> None:
        sides.check(row)

    same()


@pytest.mark.timeout(SECONDS + SHRINKING)
def test_same_as_direct(sides: Sides) -> None:
    """The first runs are the same each time; with more time others follow."""
    until = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < until:
        looked_into(sides, number if SECONDS <= 60 else secrets.randbits(32))
        number += 1
