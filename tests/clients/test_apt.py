"""apt-get from a plain repository whose packages carry no freshness: a rule gives it."""

import hashlib
from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.conftest import StartProcess
from tests.support.clock import http_date
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

RULE = {"match": "http://*/**/*.deb", "freshness": "30d"}


def options(root: Path, proxy: str) -> list[str]:
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (root / folder).mkdir(parents=True)
    (root / "state/status").touch()
    settings = {
        "Dir::State": root / "state",
        "Dir::State::status": root / "state/status",
        "Dir::Cache": root / "cache",
        "Dir::Etc": root / "etc",
        "Dir::Etc::sourcelist": root / "sources.list",
        "APT::Sandbox::User": "root",
        "APT::Architecture": "amd64",
        "Acquire::http::Proxy": proxy,
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


async def test_two_machines(
    run: Run, start_process: StartProcess, origin: Origin, tmp_path: Path
) -> None:
    apt = program("apt-get")
    names = [f"tiny{number}" for number in range(5)]
    index = ""
    for name in names:
        deb = name.encode() * 5000
        path = f"pool/{name}_1_amd64.deb"
        index += f"Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: {path}\n"
        index += f"Size: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n\n"
        origin.serve(f"/debian/{path}", reply(200, f"Last-Modified: {http_date(-60)}", body=deb))
        origin.serve(f"/debian/./{path}", reply(200, f"Last-Modified: {http_date(-60)}", body=deb))
    origin.serve("/debian/./Packages", reply(200, body=index.encode()))
    process = await start_process({"rules": [RULE]})
    for machine in ("one", "two"):
        root = tmp_path / machine
        flags = options(root, process.url)
        source = f"deb [trusted=yes] {origin.url('/debian')} ./\n"
        (root / "sources.list").write_text(source)
        await run(apt, *flags, "-q", "update")
        await run(apt, *flags, "-q", "download", *names, cwd=root)
        for name in names:
            assert (root / f"{name}_1_amd64.deb").read_bytes() == name.encode() * 5000
    debs = [received.target for received in origin.requests if received.target.endswith(".deb")]
    assert len(debs) == len(names)
