"""Python's own clients and the libraries people use."""

import asyncio
import http.client
import urllib.request
from pathlib import Path

import aiohttp
import httplib2
import httpx
import pytest
import requests

from tests.clients.conftest import Secure
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

FRESH = "Cache-Control: max-age=600"


@pytest.fixture
def page(origin: Origin) -> str:
    origin.serve("/page", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    return origin.url("/page")


def hit(cache_status: str | None) -> bool:
    return "; hit" in (cache_status or "")


async def test_urllib(process: ProcessHouse, origin: Origin, page: str) -> None:
    def fetch() -> bool:
        handler = urllib.request.ProxyHandler({"http": process.url})
        with urllib.request.build_opener(handler).open(page, timeout=10) as answer:
            assert answer.read() == b"hello"
            return hit(answer.headers["Cache-Status"])

    assert [await asyncio.to_thread(fetch) for _ in range(2)] == [False, True]
    assert len(origin.requests) == 1


@pytest.mark.parametrize("tunnel", [False, True], ids=["absolute-form", "set_tunnel"])
async def test_http_client(process: ProcessHouse, origin: Origin, page: str, tunnel: bool) -> None:
    def fetch() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        if tunnel:
            connection.set_tunnel("127.0.0.1", origin.port)
        try:
            connection.request("GET", "/page" if tunnel else page)
            answer = connection.getresponse()
            assert answer.read() == b"hello"
            return hit(answer.headers["Cache-Status"])
        finally:
            connection.close()

    assert [await asyncio.to_thread(fetch) for _ in range(2)] == [False, True]
    assert len(origin.requests) == 1


@pytest.mark.parametrize("own_cache", [False, True], ids=["no cache", "own cache"])
async def test_httplib2(
    process: ProcessHouse, origin: Origin, page: str, tmp_path: Path, own_cache: bool
) -> None:
    pytest.importorskip("socks", reason="httplib2 speaks to proxies through PySocks")

    def fetch(name: str) -> bool:
        info = httplib2.ProxyInfo(httplib2.socks.PROXY_TYPE_HTTP, "127.0.0.1", process.port)
        cache = str(tmp_path / name) if own_cache else None
        client = httplib2.Http(cache, timeout=10, proxy_info=info)
        try:
            answer, body = client.request(page)
            assert body == b"hello"
            assert client.request(page)[1] == b"hello"
            return hit(answer.get("cache-status"))
        finally:
            client.close()

    assert [await asyncio.to_thread(fetch, name) for name in ("one", "two")] == [False, True]
    assert len(origin.requests) == 1


async def test_requests(process: ProcessHouse, origin: Origin, page: str) -> None:
    def fetch() -> list[bool]:
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"http": process.url}
            answers = [session.get(page, timeout=10) for _ in range(2)]
            assert [answer.content for answer in answers] == [b"hello"] * 2
            return [hit(answer.headers["Cache-Status"]) for answer in answers]

    assert await asyncio.to_thread(fetch) == [False, True]
    assert len(origin.requests) == 1


async def test_requests_uploads(process: ProcessHouse, origin: Origin) -> None:
    origin.serve("/up", reply(201, body=b"thanks"))

    def pieces() -> list[bytes]:
        return [b"one", b"two" * 10_000]

    def send() -> bytes:
        with requests.Session() as session:
            session.trust_env = False
            proxies = {"http": process.url}
            url = origin.url("/up")
            return session.post(url, data=iter(pieces()), proxies=proxies, timeout=10).content

    assert await asyncio.to_thread(send) == b"thanks"
    assert origin.requests[0].body == b"".join(pieces())


async def test_httpx(process: ProcessHouse, origin: Origin, page: str) -> None:
    async with httpx.AsyncClient(proxy=process.url, trust_env=False) as client:
        answers = [await client.get(page) for _ in range(2)]
    assert [answer.content for answer in answers] == [b"hello"] * 2
    assert [hit(answer.headers["Cache-Status"]) for answer in answers] == [False, True]
    assert len(origin.requests) == 1


async def test_aiohttp(process: ProcessHouse, origin: Origin, page: str) -> None:
    hits = []
    async with aiohttp.ClientSession(proxy=process.url) as client:
        for _ in range(2):
            async with client.get(page) as answer:
                assert await answer.read() == b"hello"
                hits.append(hit(answer.headers["Cache-Status"]))
    assert hits == [False, True]
    assert len(origin.requests) == 1


async def test_http_client_over_tls(secure: Secure) -> None:
    secure.origin.serve("/page", reply(200, FRESH, body=b"secret"))

    def fetch() -> bytes:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", secure.process.port, timeout=10, context=secure.context
        )
        connection.set_tunnel("127.0.0.1", secure.origin.port)
        try:
            connection.request("GET", "/page")
            return connection.getresponse().read()
        finally:
            connection.close()

    assert await asyncio.to_thread(fetch) == b"secret"


async def test_httpx_over_tls(secure: Secure) -> None:
    secure.origin.serve("/page", reply(200, FRESH, body=b"secret"))
    async with httpx.AsyncClient(
        proxy=secure.process.url, verify=secure.context, trust_env=False
    ) as client:
        assert (await client.get(secure.origin.url("/page"))).content == b"secret"


async def test_requests_over_tls(secure: Secure) -> None:
    secure.origin.serve("/page", reply(200, FRESH, body=b"secret"))

    def fetch() -> bytes:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(secure.ca_file)
            session.proxies = {"https": secure.process.url}
            return session.get(secure.origin.url("/page"), timeout=10).content

    assert await asyncio.to_thread(fetch) == b"secret"


async def test_an_https_target_in_absolute_form_is_cached(secure: Secure) -> None:
    # The proxy speaks TLS upstream, with the system's trust.
    secure.origin.serve("/page", reply(200, FRESH, body=b"secret"))
    answers = [await secure.process.get(secure.origin.url("/page")) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"secret"] * 2
    assert answers[1].hit


async def test_an_https_target_that_nobody_vouches_for_is_502(
    process: ProcessHouse, secure: Secure
) -> None:
    answer = await process.get(secure.origin.url("/page"))
    assert answer.status == 502
    assert answer.proxy_status["error"].startswith("tls_")
