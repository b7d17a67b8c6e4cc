"""What programs get through the proxy they would have got without it: rows by real clients.

Each row's URL is asked for by all of them in turn, twice each; what each one saw is held against
what it sees directly, as far as it shows that.
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final

import httplib2
import httpx
import pytest
import requests

from tests.support.asking import Ask, Seen
from tests.support.coding import ENCODE
from tests.support.differences import Pair, differences
from tests.support.origin import CLOSE, chunk, chunked, head
from tests.support.resources import FRESH, GZIPPED, LINE, NOW, PLAIN, TEXT, Resource, plain, said
from tests.support.rows import Row, chunked_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.sides import Sides

pytestmark = pytest.mark.clients

SECONDS: Final = 5


def by_urllib(url: str, proxy: str) -> Seen:
    handler = urllib.request.ProxyHandler({"http": proxy} if proxy else {})
    opener = urllib.request.build_opener(handler, _Asis())
    with opener.open(url, timeout=SECONDS) as answer:
        return _seen(answer.status, list(answer.headers.items()), answer.read())


class _Asis(urllib.request.HTTPErrorProcessor):
    """Takes every status as an answer."""

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        return response


def by_http_client(url: str, proxy: str) -> Seen:
    authority, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(proxy.removeprefix("http://") or authority, timeout=5)
    try:
        connection.request("GET", url if proxy else f"/{path}")
        answer = connection.getresponse()
        return _seen(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def by_httplib2(url: str, proxy: str) -> Seen:
    info = httplib2.proxy_info_from_url(proxy) if proxy else None
    client = httplib2.Http(timeout=SECONDS, proxy_info=info)
    client.follow_redirects = False
    try:
        answer, body = client.request(url)
        unlike = ("status", "content-location")  # which it adds itself
        lines = [(name, value) for name, value in answer.items() if name not in unlike]
        made = _decoded if "-content-encoding" in answer else _seen  # what it does not know stays
        return made(answer.status, lines, body)
    finally:
        client.close()


def by_requests(url: str, proxy: str) -> Seen:
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy} if proxy else {}
        answer = session.get(url, timeout=SECONDS, allow_redirects=False)
        return _decoded(answer.status_code, list(answer.raw.headers.items()), answer.content)


def by_httpx(url: str, proxy: str) -> Seen:
    with httpx.Client(proxy=proxy or None, trust_env=False, timeout=SECONDS) as client:
        answer = client.get(url)
        lines = answer.headers.multi_items()
        return _decoded(answer.status_code, lines, answer.content)


def by_curl(url: str, proxy: str, *more: str) -> Seen:
    way = ("-x", proxy) if proxy else ("--noproxy", "*")
    command = ["curl", "-sSi", "-m", str(SECONDS), *way, *more, url]
    done = subprocess.run(command, capture_output=True, check=False)
    start, _, body = done.stdout.partition(b"\r\n\r\n")
    status, *lines = start.decode("latin-1").split("\r\n")
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    seen = (_decoded if more else _seen)(int((status.split() or "00")[1]), pairs, body)
    seen.end = "whole" if done.returncode == 0 else "cut"
    seen.start = f"curl {done.returncode}: {status}"
    return seen


def by_curl_compressed(url: str, proxy: str) -> Seen:
    return by_curl(url, proxy, "--compressed")


def _seen(status: int, lines: list[tuple[str, str]], body: bytes) -> Seen:
    return Seen(status=status, start=f"{status}", fields=lines, octets=body, end="whole")


def _decoded(status: int, lines: list[tuple[str, str]], body: bytes) -> Seen:
    """What a program that decodes shows: its body no longer has the coding, nor the length."""
    unlike = ("content-encoding", "content-length", "-content-encoding")
    return _seen(status, [line for line in lines if line[0].lower() not in unlike], body)


# Each is given the URL and the proxy, or "".
PROGRAMS: Final[dict[str, Callable[[str, str], Seen]]] = {
    "urllib": by_urllib,
    "http.client": by_http_client,
    "httplib2": by_httplib2,
    "requests": by_requests,
    "httpx": by_httpx,
    "curl": by_curl,
    "curl --compressed": by_curl_compressed,
}
# What those ask for that show a coding.
ACCEPT: Final = {
    "urllib": "Accept-Encoding: identity",
    "http.client": "Accept-Encoding: identity",
    "httplib2": "Accept-Encoding: gzip, deflate",
}


def coded(*fields: str, octets: bytes = GZIPPED, coding: str = "gzip") -> Resource:
    lines = (FRESH, PLAIN, *fields)
    return Resource(lines, octets, "identity", vary=None, label=coding, ranges=False)


OBJECT: Final = Resource((FRESH, "Content-Type: application/octet-stream"), coding="gzip")
NOISE: Final = coded(octets=bytes(range(256)) * 9, coding="br")
PADDED: Final = said(chunked_head(FRESH) + b"5  \r\nhello\r\n0\r\n\r\n")
ROWS: Final = [
    Row("compresses as it is asked", Resource(), ()),
    Row("compresses in chunks", Resource(framing="chunked"), ()),
    Row("compresses, to the close", Resource(framing="close"), ()),
    Row("compresses, no-cache", Resource(("Cache-Control: no-cache", PLAIN)), ()),
    Row("compresses, no-store", Resource(("Cache-Control: no-store", PLAIN)), ()),
    Row("compresses, no-transform", Resource((f"{FRESH}, no-transform", PLAIN)), ()),
    Row("never compresses", Resource(coding="identity"), ()),
    Row("compresses without Vary", Resource(vary=None), ()),
    Row("always gzip", coded(), ()),
    Row("always gzip, a digest", coded("Content-MD5: AAAA"), (), own=True),
    Row("always gzip, octets", OBJECT, (), own=True),
    Row("an archive by its name", coded(), (), "/a.tar.gz", own=True),
    Row("always br", coded(octets=ENCODE["br"](TEXT), coding="br"), ()),
    Row("plain text labelled gzip", coded(octets=TEXT), (), own=True),
    Row("octets after the last member", coded(octets=GZIPPED + b"more"), (), own=True),
    Row("no gzip trailer", coded(octets=GZIPPED[:-8]), (), own=True),
    Row("random octets labelled br", NOISE, (), own=True),
    Row("an unknown coding", coded(coding="x-own"), ()),
    Row("an error", plain(PLAIN, status=500), ()),
    Row("a redirect", plain(FRESH, "Location: /b", status=301), ()),
    Row("several cookies", plain("Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/"), ()),
    Row("a cut body", said(head(200, NOW, FRESH, "Content-Length: 500") + LINE, CLOSE), ()),
    Row("a cut chunked body", said(chunked_head(FRESH) + chunk(LINE), CLOSE), ()),
    Row("chunk sizes padded with blanks", PADDED, ()),
    Row("an empty chunked body", said(chunked_head(FRESH) + chunked()), ()),
    Row("HTTP/1.0", said(b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nhello", CLOSE), ()),
]  # fmt: skip


@pytest.mark.parametrize("order", ["first to last", "last to first"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_same_as_direct(sides: Sides, row: Row, order: str) -> None:
    names = [name for name in PROGRAMS if shutil.which("curl") or "curl" not in name]
    names = [name for name in names[:: 1 if order == "first to last" else -1] for _ in range(2)]
    direct, proxied = sides.served(row)
    one = [_asked(PROGRAMS[name], *direct) for name in names]
    other = [_asked(PROGRAMS[name], *proxied) for name in names]
    forms = tuple(seen for seen in one if seen.octets)
    found = []
    for name, was, got in zip(names, one, other, strict=True):
        ask = Ask(name, (ACCEPT[name],) if name in ACCEPT else ())
        if lines := differences(Pair(ask, was, got, forms, row.own)):
            found.append("\n".join([name, *lines, "  directly:", str(was), "  proxied:", str(got)]))
    if found:
        pytest.fail("\n".join([*row.lines(), *found[:3]]), pytrace=False)


def _asked(program: Callable[[str, str], Seen], url: str, proxy: str) -> Seen:
    """What it saw; that it raises is a thing that is seen."""
    try:
        return program(url, proxy)
    except Exception as error:  # noqa: BLE001
        return Seen(status=1, start=f"{type(error).__name__}", end="cut")
