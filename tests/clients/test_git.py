"""git over HTTP: clone, push, and a second clone that sees the push."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.support.origin import Conversation, Origin, reply

pytestmark = pytest.mark.clients

IDENTITY = {
    f"GIT_{who}_{what}": text
    for who in ("AUTHOR", "COMMITTER")
    for what, text in (("NAME", "A"), ("EMAIL", "a@a.test"))
}


class Backend:
    """``git http-backend`` as an origin (RFC 3875)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def __call__(self, conversation: Conversation) -> None:
        received = conversation.received
        path, _, query = received.target.partition("?")
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "someone",
            "REQUEST_METHOD": received.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": received.get("content-type") or "",
            "CONTENT_LENGTH": str(len(received.body)),
            "HTTP_CONTENT_ENCODING": received.get("content-encoding") or "",
            "GIT_PROTOCOL": received.get("git-protocol") or "",
        }
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=environ, stdin=pipe, stdout=pipe
        )
        said, _ = await child.communicate(bytes(received.body))
        lines, _, body = said.partition(b"\r\n\r\n")
        fields = lines.decode().split("\r\n")
        status = next((line[8:11] for line in fields if line.startswith("Status: ")), "200")
        conversation.writer.write(reply(int(status), *fields, body=body))
        await conversation.writer.drain()


async def test_clone_push_clone(run: Run, origin: Origin, tmp_path: Path) -> None:
    git = program("git")
    bare = tmp_path / "srv" / "repo.git"
    await run(git, "init", "-q", "--bare", "-b", "main", str(bare))
    await run(git, "-C", str(bare), "config", "http.receivepack", "true")
    origin.otherwise = Backend(bare.parent)
    url = origin.url("/repo.git")

    await run(git, "clone", "-q", url, "one")
    one = tmp_path / "one"
    (one / "file").write_bytes(os.urandom(200_000))
    await run(git, "checkout", "-q", "-B", "main", cwd=one)
    await run(git, "add", "file", cwd=one)
    await run(git, "commit", "-q", "-m", "first", cwd=one, **IDENTITY)
    await run(git, "push", "-q", "origin", "main", cwd=one)

    await run(git, "clone", "-q", url, "two")
    assert (tmp_path / "two" / "file").read_bytes() == (one / "file").read_bytes()
    (one / "file").write_bytes(b"changed")
    await run(git, "commit", "-q", "-a", "-m", "second", cwd=one, **IDENTITY)
    await run(git, "push", "-q", "origin", "main", cwd=one)
    await run(git, "pull", "-q", cwd=tmp_path / "two")
    assert (tmp_path / "two" / "file").read_bytes() == b"changed"
