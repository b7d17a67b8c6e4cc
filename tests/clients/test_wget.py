"""wget: hits and resumed downloads."""

from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients


async def test_hit_and_resume(run: Run, origin: Origin, tmp_path: Path) -> None:
    wget = program("wget")
    body = bytes(range(256)) * 1024
    origin.serve("/a", reply(200, "Cache-Control: max-age=600", 'ETag: "1"', body=body))
    for name in ("one", "two"):
        await run(wget, "-q", "-O", name, origin.url("/a"))
        assert (tmp_path / name).read_bytes() == body
    (tmp_path / "a").write_bytes(body[:1000])
    await run(wget, "-q", "-c", origin.url("/a"))
    assert (tmp_path / "a").read_bytes() == body
    assert len(origin.requests) == 1
