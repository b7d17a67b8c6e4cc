"""Programs that resume, that download in parts, and that must know a length before they begin."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients.conftest import Run, program
from tests.support.asking import Stage
from tests.support.origin import READ_BODY, Conversation, Origin, reply
from tests.support.resources import FRESH, PLAIN, TEXT, Resource

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.house import ProcessHouse

pytestmark = pytest.mark.clients

LARGE: Final = b"".join(b"%d %b" % (number, TEXT) for number in range(3000))  # some 11 MiB


def serve(origin: Origin, path: str, resource: Resource, stage: Stage) -> None:
    origin.serve(path, *resource.script(stage))


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def page(origin: Origin, stage: Stage) -> str:
    """A large text that its origin compresses for whoever takes that."""
    serve(origin, "/page.txt", Resource((FRESH, PLAIN), LARGE), stage)
    return origin.url("/page.txt")


async def stored_coded(run: Run, url: str) -> None:
    """Somebody has had it compressed."""
    await run(program("curl"), "-sS", "--compressed", "-o", "first", url)


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
async def test_curl_resumes(run: Run, page: str, tmp_path: Path, stored: bool) -> None:
    curl = program("curl")
    if stored:
        await stored_coded(run, page)
    (tmp_path / "part").write_bytes(LARGE[:1_000_000])
    await run(curl, "-sSfC", "-", "-o", "part", page)
    assert (tmp_path / "part").read_bytes() == LARGE


async def test_curl_shows_how_much_there_is(run: Run, page: str) -> None:
    await stored_coded(run, page)
    lines = (await run(program("curl"), "-sSI", page)).lower().splitlines()
    assert f"content-length: {len(LARGE)}" in lines
    assert "accept-ranges: bytes" in lines


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
async def test_aria2_downloads_in_sixteen_parts(
    run: Run, page: str, origin: Origin, tmp_path: Path, stored: bool
) -> None:
    aria2 = program("aria2c")
    if stored:
        await stored_coded(run, page)
    before = len(origin.requests)
    parts = ("-x16", "-s16", "-k1M", "--file-allocation=none", "--allow-overwrite=true")
    await run(aria2, "-q", "-c", *parts, "-o", "file", page)
    assert (tmp_path / "file").read_bytes() == LARGE
    if stored:
        assert len(origin.requests) == before


async def test_aria2_resumes(run: Run, page: str, tmp_path: Path) -> None:
    aria2 = program("aria2c")
    await stored_coded(run, page)
    (tmp_path / "file").write_bytes(LARGE[:1_000_000])
    await run(aria2, "-q", "-c", "-x16", "--file-allocation=none", "-o", "file", page)
    assert (tmp_path / "file").read_bytes() == LARGE


async def test_wget_resumes(run: Run, page: str, tmp_path: Path) -> None:
    wget = program("wget")
    await stored_coded(run, page)
    (tmp_path / "page.txt").write_bytes(LARGE[:1_000_000])
    await run(wget, "-q", "-c", page)
    assert (tmp_path / "page.txt").read_bytes() == LARGE


HUB: Final = """
import json, sys
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
url = hf_hub_url("own/model", "vocab.txt", endpoint=sys.argv[1])
for _ in range(2):
    known = get_hf_file_metadata(url, endpoint=sys.argv[1])
path = hf_hub_download("own/model", "vocab.txt", endpoint=sys.argv[1], cache_dir="hub")
print(json.dumps([known.size, known.etag, known.commit_hash, path]))
"""


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
async def test_huggingface_hub(
    run: Run, origin: Origin, stage: Stage, tmp_path: Path, stored: bool
) -> None:
    """Its HEAD must tell size and tag of the file itself, whatever was stored for others."""
    pytest.importorskip("huggingface_hub", reason="the extra clients is not installed")
    commit = "0123456789abcdef0123456789abcdef01234567"
    path = "/own/model/resolve/main/vocab.txt"
    fields = (FRESH, PLAIN, f"X-Repo-Commit: {commit}")
    serve(origin, path, Resource(fields, TEXT), stage)
    if stored:
        await stored_coded(run, origin.url(path))
    endpoint = origin.url("").rstrip("/")
    environ = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    said = await run(sys.executable, "-c", HUB, endpoint, **environ)
    size, _, known, file = json.loads(said.splitlines()[-1])
    assert (size, known) == (len(TEXT), commit)
    assert (tmp_path / file).read_bytes() == TEXT


async def test_docker_exec(process: ProcessHouse, origin: Origin) -> None:
    """A POST with content that asks for a stream of octets, by Python's own client."""

    async def echo(conversation: Conversation) -> None:
        while piece := await conversation.reader.read(65_536):
            conversation.writer.write(piece)
        conversation.over = True

    switch = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    origin.serve("/exec/1/start", READ_BODY, switch, b"ready\n", echo)
    origin.serve("/ping", reply(200, body=b"OK"))

    def talk() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=5)
        try:
            connection.request("GET", origin.url("/ping"))
            assert connection.getresponse().read() == b"OK"
            lines = {"Connection": "Upgrade", "Upgrade": "tcp", "Content-Type": "application/json"}
            body = json.dumps({"Detach": False, "Tty": True})
            connection.request("POST", origin.url("/exec/1/start"), body, lines)
            heard = b""
            while not heard.endswith(b"ready\n"):
                piece: bytes = connection.sock.recv(1000)
                assert piece, heard
                heard += piece
            assert heard.startswith(b"HTTP/1.1 101 ")
            connection.sock.sendall(b"ls\n")
            return connection.sock.recv(1000)
        finally:
            connection.close()

    assert await asyncio.to_thread(talk) == b"ls\n"
