"""pip from a small index: the second download of a wheel is a hit."""

import hashlib
import io
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

WHEEL = "tiny_thing-1.0-py3-none-any.whl"


def wheel() -> bytes:
    info = "tiny_thing-1.0.dist-info"
    files = {
        "tiny_thing.py": "value = 1\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed")
async def test_download_twice(
    run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path
) -> None:
    body = wheel()
    digest = hashlib.sha256(body).hexdigest()
    link = f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'.encode()
    lines = ("Content-Type: text/html", 'ETag: "1"', "Cache-Control: max-age=600")
    origin.serve("/simple/tiny-thing/", reply(200, *lines, body=link))
    origin.serve("/simple/tiny-thing/", reply(304, *lines[1:]))
    origin.serve(f"/files/{WHEEL}", reply(200, "Cache-Control: max-age=600", body=body))
    pip = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check")
    where = ("--index-url", origin.url("/simple/"), "--proxy", process.url, "--no-cache-dir")
    for name in ("one", "two"):
        await run(*pip, "download", "-q", "--no-deps", *where, "-d", name, "tiny-thing")
        assert (tmp_path / name / WHEEL).read_bytes() == body
    assert origin.count(f"/files/{WHEEL}") == 1
