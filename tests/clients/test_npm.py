"""npm from a small registry: the second install of a tarball is a hit."""

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

TARBALL = "/tiny-thing/-/tiny-thing-1.0.0.tgz"


def tarball() -> bytes:
    text = json.dumps({"name": "tiny-thing", "version": "1.0.0"}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


async def test_install_twice(
    run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path
) -> None:
    npm = program("npm")
    body = tarball()
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(body).digest()).decode()}"
    version = {
        "name": "tiny-thing",
        "version": "1.0.0",
        "dist": {"tarball": origin.url(TARBALL), "integrity": integrity},
    }
    document = {
        "name": "tiny-thing",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    }
    lines = ("Content-Type: application/json", "Cache-Control: max-age=600")
    origin.serve("/tiny-thing", reply(200, *lines, body=json.dumps(document).encode()))
    origin.serve(TARBALL, reply(200, "Cache-Control: max-age=600", body=body))
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts")
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "package.json").write_text('{"name": "user", "version": "1.0.0"}')
        where = (
            "--registry",
            origin.url("/"),
            "--proxy",
            process.url,
            "--cache",
            str(folder / "c"),
        )
        await run(npm, "install", *where, *quiet, "tiny-thing", cwd=folder)
        assert (folder / "node_modules" / "tiny-thing" / "package.json").exists()
    assert origin.count(TARBALL) == 1
