"""Client programs run as a person runs them, with the proxy in their environment."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.support.house import ProcessHouse
from tests.support.origin import Origin

Run = Callable[..., Awaitable[str]]
PROGRAM_DEADLINE = 50.0


def program(name: str) -> str:
    """The path of a program; the test is skipped by its name when it is absent."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def run(process: ProcessHouse, tmp_path: Path) -> Run:
    """Runs a program that must succeed; gives its standard output."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "JAVA_HOME") if name in os.environ}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), process.url)
    environ = {**kept, **proxies, "HOME": str(home), "TMPDIR": str(tmp_path)}

    async def go(*command: str, cwd: Path = tmp_path, **more: str) -> str:
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**environ, **more},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PROGRAM_DEADLINE):
                out, err = await child.communicate()
        except TimeoutError:
            child.kill()
            await child.communicate()
            raise
        assert child.returncode == 0, f"{command[0]}: {child.returncode}\n{out!r}\n{err!r}"
        return out.decode(errors="replace")

    return go


@dataclass(frozen=True, slots=True)
class Secure:
    """An origin that speaks TLS, with what a client needs to trust it."""

    origin: Origin
    ca_file: Path
    context: ssl.SSLContext
    process: ProcessHouse


@pytest.fixture
async def secure(
    start_process: Callable[..., Awaitable[ProcessHouse]], tmp_path: Path
) -> AsyncIterator[Secure]:
    """A TLS origin, and a proxy that lets CONNECT go to it and trusts it itself."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    context = ssl.create_default_context(cafile=str(ca_file))
    origin = Origin(tls=server)
    await origin.start()
    process = await start_process(ports=(origin.port,), environ={"SSL_CERT_FILE": str(ca_file)})
    yield Secure(origin, ca_file, context, process)
    await process.hang_up()
    await origin.stop()
