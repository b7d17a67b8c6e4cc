"""curl: hits, resumed and partial downloads, uploads, TLS by CONNECT."""

from pathlib import Path

import pytest

from tests.clients.conftest import Run, Secure, program
from tests.support.house import ProcessHouse
from tests.support.login import NtlmOrigin
from tests.support.origin import READ_BODY, Origin, reply
from tests.support.rawpeer import Peer

pytestmark = pytest.mark.clients

FRESH = "Cache-Control: max-age=600"
BODY = bytes(range(256)) * 1024


@pytest.fixture
def curl() -> str:
    return program("curl")


async def test_the_second_is_a_hit(curl: str, run: Run, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    first = await run(curl, "-sSi", origin.url("/a"))
    second = await run(curl, "-sSi", origin.url("/a"))
    assert first.endswith("hello")
    assert second.endswith("hello")
    lines = second.lower().splitlines()
    assert any(line.startswith("age: ") for line in lines)
    assert any(line.startswith("cache-status: forecache; hit; ttl=") for line in lines)
    assert len(origin.requests) == 1


async def test_resume_and_range(curl: str, run: Run, origin: Origin, tmp_path: Path) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=BODY))
    await run(curl, "-sSo", "whole", origin.url("/a"))
    (tmp_path / "part").write_bytes(BODY[:1000])
    await run(curl, "-sSC", "-", "-o", "part", origin.url("/a"))
    await run(curl, "-sSr", "10-19", "-o", "range", origin.url("/a"))
    assert (tmp_path / "whole").read_bytes() == BODY
    assert (tmp_path / "part").read_bytes() == BODY
    assert (tmp_path / "range").read_bytes() == BODY[10:20]
    assert len(origin.requests) == 1


async def test_upload_with_expect(curl: str, run: Run, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY * 8)
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    origin.serve("/up", go_on, READ_BODY, reply(201, body=b"thanks"))
    out = await run(curl, "-sS", "-H", "Expect: 100-continue", "-T", "file", origin.url("/up"))
    assert out == "thanks"
    assert origin.requests[0].body == BODY * 8


async def test_upload_of_unknown_length(
    curl: str, run: Run, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(BODY)
    origin.serve("/up", reply(201, body=b"thanks"))
    lines = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")
    assert await run(curl, "-sS", *lines, "-T", "file", origin.url("/up")) == "thanks"
    assert origin.requests[0].body == BODY


async def test_plain_http_by_connect(
    curl: str, run: Run, process: ProcessHouse, origin: Origin
) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    for _ in range(2):
        assert await run(curl, "-sS", "-p", "-x", process.url, origin.url("/a")) == "hello"
    assert len(origin.requests) == 1


async def test_https_by_connect(curl: str, run: Run, secure: Secure) -> None:
    secure.origin.serve("/a", reply(200, FRESH, body=b"secret"))
    trust = ("--cacert", str(secure.ca_file))
    url = secure.origin.url("/a")
    assert await run(curl, "-sS", "-x", secure.process.url, *trust, url) == "secret"


async def test_http_1_0(curl: str, run: Run, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, body=b"hello"))
    for _ in range(2):
        assert await run(curl, "-sS0", origin.url("/a")) == "hello"
    assert len(origin.requests) == 1


async def test_conditional_by_etag_file(curl: str, run: Run, origin: Origin) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    tags = ("--etag-save", "tag", "--etag-compare", "tag")
    for expected in ("200", "304"):
        out = await run(curl, "-sS", "-o", "body", "-w", "%{http_code}", *tags, origin.url("/a"))
        assert out == expected
    assert len(origin.requests) == 1


async def test_two_users_of_ntlm(curl: str, run: Run) -> None:
    if "NTLM" not in await run(curl, "--version"):
        pytest.skip("this curl has no NTLM")
    async with Peer(NtlmOrigin()) as peer:
        urls = [f"http://127.0.0.1:{peer.port}/{path}" for path in ("a", "b")]
        for user in ("alice", "bob"):
            out = await run(curl, "-sS", "--ntlm", "-u", f"{user}:secret", *urls)
            assert out == user * 2
        assert await run(curl, "-sSo", "/dev/null", "-w", "%{http_code}", urls[1]) == "401"
