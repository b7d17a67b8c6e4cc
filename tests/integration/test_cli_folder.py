"""Commands straight on a cache folder, and how they come to it; ``verify`` and ``gc`` anywhere."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner

from proxy.cli import _forecache
from proxy.store.disk import DATABASE
from tests.support import damage
from tests.support.damage import KEYS, OCTETS, SIZES, fill
from tests.support.house import ROOT, House, as_toml
from tests.support.large_store import fill as fill_large
from tests.support.origin import Origin, reply
from tests.support.rawpeer import Peer
from tests.support.stores import KEY

if TYPE_CHECKING:
    from click.testing import Result


FRESH: Final = "Cache-Control: max-age=600"
NOBODY: Final = "127.0.0.1:1"


def configured(folder: Path, cache: Path, listen: str = NOBODY) -> Path:
    file = folder / "commands.toml"
    file.write_text(as_toml({"cache": {"dir": str(cache)}, "admin": {"listen": listen}}))
    return file


def run(file: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(_forecache, [command, "--config", str(file), *arguments])


def parsed(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """The configuration of a folder with something of every kind."""
    await fill(tmp_path / "cache")
    return configured(tmp_path, tmp_path / "cache")


def forget_times(entry: Any) -> Any:
    """What is another a moment later."""
    for variant in entry["variants"]:
        variant["freshness"] = sorted(variant["freshness"])
    return entry


async def stored(house: House, origin: Origin) -> list[str]:
    """Variants, forms, tags, hits."""
    urls = [origin.url(path) for path in ("/a", "/b", "/b/c")]
    lines = (FRESH, "Vary: Accept-Language", "Content-Type: text/x", "Cache-Tag: one", 'ETag: "1"')
    for path in ("/a", "/b", "/b/c"):
        origin.serve(path, reply(200, *lines, body=b"hello" * 100))
    for url in urls:
        for language in ("de", "fr", "fr"):
            await house.get(url, f"Accept-Language: {language}")
            await house.running.door.exchange.settled(url)
    return urls


async def asked(file: Path, *words: str) -> Result:
    return await asyncio.to_thread(run, file, *words)


async def hits(file: Path, url: str, count: int) -> None:
    """Until so many are in the index: they come there in batches, and when somebody asks."""
    while parsed(await asked(file, "show", url, "--json"))["hits"] != count:
        pass


async def test_a_folder_says_what_its_proxy_said(origin: Origin, tmp_path: Path) -> None:
    house = await House.start(tmp_path, {"admin": {"listen": "127.0.0.1:0"}}, [origin.port])
    try:
        urls = await stored(house, origin)
        assert house.running.admin is not None
        cache = house.running.settings.store.dir
        file = configured(tmp_path, cache, house.running.admin.address)
        await hits(file, urls[2], 1)
        commands = [("ls", "--sort", "url"), *(("show", url) for url in urls)]
        said = [parsed(await asked(file, *words, "--json")) for words in commands]
        beside = [parsed(await asked(file, *words, "--json", "--folder")) for words in commands]
    finally:
        await house.stop()
    alone = [parsed(await asked(file, *words, "--json")) for words in commands]
    for answers in (said, beside, alone):
        assert len(answers[0]) == 3
        for entry in answers[1:]:
            forget_times(entry)
    assert said == beside == alone
    assert [(entry["hits"], len(entry["variants"])) for entry in said[1:]] == [(1, 2)] * 3


def test_it_is_said_what_is_read(filled: Path, tmp_path: Path) -> None:
    listed = run(filled, "ls", "--json")
    said = f"No proxy answers at {NOBODY}; reading the folder {tmp_path}/cache.\n"
    assert (len(parsed(listed)), listed.stderr) == (len(SIZES), said)
    straight = run(filled, "ls", "--json", "--folder")
    assert (len(parsed(straight)), straight.stderr) == (len(SIZES), "")
    off = run(configured(tmp_path, tmp_path / "cache", "off"), "ls")
    assert (off.exit_code, off.stderr.startswith("The admin endpoint is off;")) == (0, True)


@pytest.mark.parametrize(
    "words", [("ls",), ("show", KEY), ("stats",), ("verify",), ("verify", "--remove"), ("gc",)]
)
@pytest.mark.parametrize("folder", ["none", "empty"])
def test_where_there_is_no_cache_none_is_made(
    words: tuple[str, ...], folder: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = run(configured(tmp_path, tmp_path / folder), *words)
    assert result.exit_code == 3
    assert f"There is no cache in {tmp_path}/{folder}." in result.stderr
    assert not (tmp_path / "none").exists()
    assert list((tmp_path / "empty").iterdir()) == []


LINE: Final = b'{"done": 1, "of": 9, "octets": 0, "damaged": [], "missing": [], "ended": false}'
ERROR: Final = b'{"error": {"reason": "store", "sentence": "The disk is gone."}}'


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        pytest.param([], 4, "No proxy answers at", id="nothing"),
        pytest.param([LINE], 1, "The answer broke off", id="a beginning"),
        pytest.param([LINE, ERROR], 1, "The disk is gone.", id="an error in the middle"),
    ],
)
async def test_a_proxy_that_fails_is_not_replaced_by_its_folder(
    answer: list[bytes], code: int, said: str, filled: Path, tmp_path: Path
) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        if answer:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(line + b"\n" for line in answer))
            writer.close()
            await writer.wait_closed()

    async with Peer(play) as peer:
        file = configured(tmp_path, tmp_path / "cache", f"127.0.0.1:{peer.port}")
        result = await asked(file, "verify")
    assert result.exit_code == code
    assert said in result.stderr
    assert "reading the folder" not in result.stderr


@pytest.mark.parametrize("words", [("explain", KEY), ("purge", KEY), ("warm", KEY), ("top",)])
def test_the_others_need_a_proxy(words: tuple[str, ...], filled: Path) -> None:
    result = run(filled, *words)
    assert (result.exit_code, "No proxy answers" in result.stderr) == (4, True)


def test_stats_of_a_folder(filled: Path, tmp_path: Path) -> None:
    said = parsed(run(filled, "stats", "--json"))
    assert said["folder"] == str(tmp_path / "cache")
    assert said["store"]["keys"] == len(SIZES)
    assert said["store"]["octets"] > OCTETS
    assert said["store"]["limit"] == 10 * 2**30
    assert {one["name"]: one["keys"] for one in said["states"]} == {"fresh": 0, "stale": len(SIZES)}
    assert [(one["name"], one["keys"]) for one in said["hosts"]] == [("a.example", len(SIZES))]
    text = run(filled, "stats").stdout
    for word in ("a.example", "10.0 GiB", "text/plain"):
        assert word in text


def test_what_is_whole(filled: Path) -> None:
    result = run(filled, "verify")
    assert (result.exit_code, result.stdout) == (
        0, f"{len(SIZES)} verified (1.6 MiB), 0 damaged\n",
    )  # fmt: skip
    said = parsed(run(filled, "verify", "--json"))
    assert said == {"keys": len(SIZES), "octets": OCTETS, "damaged": [], "missing": []}


@pytest.mark.parametrize("case", damage.ALL)
def test_what_is_damaged(case: str, filled: Path, tmp_path: Path) -> None:
    befall, name, of_record, why = damage.ALL[case]
    befall(tmp_path / "cache")
    (found,) = parsed(run(filled, "verify", "--json"), 1)["damaged"]
    assert (found["key"], found["removed"]) == (f"{KEY}/{name}", False)
    assert found["id"] == ("" if of_record else f"body-{name}")
    assert why in found["why"]
    text = run(filled, "verify", "--remove")
    assert text.exit_code == 1
    assert f"{KEY}/{name}" in text.stdout
    assert f"{len(SIZES)} verified" in text.stdout
    assert text.stdout.endswith("1 damaged, 1 removed\n")
    assert parsed(run(filled, "verify", "--json"))["keys"] == len(SIZES) - 1


def test_only_these(filled: Path, tmp_path: Path) -> None:
    damage.flip_row(tmp_path / "cache")
    assert run(filled, "verify", KEYS["file"]).exit_code == 0
    assert parsed(run(filled, "verify", KEYS["row"], KEYS["file"], "--json"), 1)["keys"] == 2
    missing = run(filled, "verify", f"{KEY}/none")
    assert (missing.exit_code, missing.stderr.splitlines()[1:]) == (
        3, [f"Nothing is stored for {KEY}/none"],
    )  # fmt: skip
    assert run(filled, "verify", "nonsense").exit_code == 1


def test_gc(filled: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "spool" / "7").mkdir()
    (cache / "spool" / "7" / "lock").touch()
    (cache / "spool" / "7" / "1").write_bytes(bytes(100_000))
    damage.sql(cache, "DELETE FROM Cache WHERE key = 'bbody-packeda'")
    (pack,) = damage.packs(cache)
    before = pack.stat().st_blocks
    dry = parsed(run(filled, "gc", "--dry-run", "--json"))
    assert {(one["what"], one["count"]) for one in dry["found"]} >= {("spools", 1), ("holes", 1)}
    assert dry["octets"] == sum(one["octets"] for one in dry["found"])
    assert (cache / "spool" / "7" / "1").exists()
    text = run(filled, "gc")
    assert text.exit_code == 0
    assert "spool files of dead processes" in text.stdout
    assert text.stdout.endswith(" KiB given back\n")
    assert not (cache / "spool" / "7" / "1").exists()
    assert before - pack.stat().st_blocks == 2 * 8
    assert len(parsed(run(filled, "verify", "--json"), 1)["damaged"]) == 1  # which has no row
    done = parsed(run(filled, "gc", "--json"))
    assert (done["dry_run"], done["found"]) == (False, [])


def test_show_counts_uses_without_an_index(filled: Path) -> None:
    said = parsed(run(filled, "show", KEYS["row"], "--json"))
    assert (said["hits"], said["used"]) == (0, 1000.0)  # when it was stored


def test_show_of_a_damaged_record(filled: Path, tmp_path: Path) -> None:
    damage.garbage_record(tmp_path / "cache")
    result = run(filled, "show", KEYS["row"])
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)
    assert run(filled, "show", f"{KEY}/none").exit_code == 3
    assert run(filled, "show", "nonsense").exit_code == 1


def test_a_folder_that_others_may_write_to_is_not_changed(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").chmod(0o777)
    result = run(filled, "gc")
    assert (result.exit_code, "others can write to" in result.stderr) == (1, True)
    assert run(filled, "gc", "--dry-run").exit_code == 0


def test_what_is_not_a_database(filled: Path, tmp_path: Path) -> None:
    for name in (DATABASE, f"{DATABASE}-wal"):
        (tmp_path / "cache" / name).write_bytes(b"garbage" * 1000)
    for words in (("ls",), ("show", KEY), ("stats",), ("verify",), ("gc",)):
        assert run(filled, *words).exit_code == 1
    (found,) = parsed(run(filled, "verify", "--json"), 1)["damaged"]
    assert (found["key"], "database" in found["why"]) == ("", True)


_AS_NOBODY: Final = """
import os, sys
from click.testing import CliRunner
from proxy.cli import _forecache
go = lambda: CliRunner().invoke(_forecache, sys.argv[2:])
assert go().exit_code == 0  # so that all is imported, which only root can read
if sys.argv[1]:
    os.unlink(sys.argv[1] + "-wal")
    os.unlink(sys.argv[1] + "-shm")
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
done = go()
sys.exit(done.output if done.exit_code else 0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("shared", [True, False], ids=["beside others", "alone"])
def test_a_folder_of_another_user(shared: bool) -> None:
    """It is read, and left as it is, by root and by one who may only read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"
        asyncio.run(fill(cache))
        file = configured(folder, cache)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 12345, 12345)
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = {path.name for path in cache.iterdir()}
        for words in (("ls",), ("show", KEYS["row"]), ("stats",), ("verify",), ("gc", "--dry-run")):
            command = [words[0], "--config", str(file), *words[1:]]
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    _AS_NOBODY,
                    "" if shared else str(cache / DATABASE),
                    *command,
                ],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            # These SQLite leaves where it may; where it may not, what is there is taken as it is.
            left = {f"{DATABASE}-wal", f"{DATABASE}-shm"} if shared else set()
            assert {path.name for path in cache.iterdir()} == before | left


def test_many(tmp_path: Path) -> None:
    fill_large(tmp_path / "cache", 5000)
    file = configured(tmp_path, tmp_path / "cache")
    assert parsed(run(file, "verify", "--json"))["keys"] == 5000
    assert parsed(run(file, "gc", "--dry-run", "--json"))["found"] == []
    assert len(parsed(run(file, "ls", "--limit", "3000", "--json"))) == 3000
