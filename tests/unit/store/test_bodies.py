import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from proxy.policy.stored import StoredResponse
from proxy.store import bodies
from proxy.store.base import BodyLost
from proxy.store.bodies import Descriptor, FileBody, InlineBody, Verifier, checksum
from proxy.store.threads import Handover, Threads
from tests.support.stores import response

BODY = bytes(range(256)) * 1000


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    pool = Threads(Handover(asyncio.get_running_loop()), 1, "test")
    yield pool
    await pool.close()


def on_disk(folder: Path, name: str, body: bytes = BODY) -> StoredResponse:
    """A response whose body file is in place."""
    crc = bodies.checksum_octets(bodies.checksum(body))
    stored = replace(response(name), length=len(body), checksum=crc)
    path = Path(bodies.body_path(folder, stored.id))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    return stored


def file_of(folder: Path, stored: StoredResponse) -> Path:
    return Path(bodies.body_path(folder, stored.id))


def flip(path: Path, position: int = 1000) -> None:
    """Another bit, the same size and times."""
    status = path.stat()
    octets = bytearray(path.read_bytes())
    octets[position] ^= 1
    with path.open("r+b") as file:
        file.write(octets)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("id_", ["", "a", "../x", "A" * 32, "a/b", "a.b", "a" * 65, "\n\n"])
def test_ids_that_cannot_name_a_file(id_: str) -> None:
    with pytest.raises(ValueError, match="cannot name a body"):
        bodies.check_id(id_)


def test_nothing_is_put_where_a_link_leads(tmp_path: Path) -> None:
    """The folder of a part has been replaced while the store is open."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "aa").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "new").write_bytes(BODY)
    bodies.rename(str(tmp_path / "new"), bodies.body_path(tmp_path, "0aa"))
    assert (tmp_path / "aa" / "0aa").read_bytes() == BODY
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_whole_file_opens(tmp_path: Path) -> None:
    stored = on_disk(tmp_path, "aa")
    assert Verifier(tmp_path).open(stored).pread(len(BODY), 0) == BODY


def test_files_are_listed_by_folder(tmp_path: Path) -> None:
    ids = {on_disk(tmp_path, name).id for name in ("1aa", "2aa", "1bb")}
    listed = list(bodies.body_files(tmp_path))
    assert [len(part) for part in listed] == [2, 1]
    assert {id_ for part in listed for id_ in part} == ids


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "swapped", "missing", "folder"])
def test_damage_is_noticed_at_first_use(tmp_path: Path, damage: str) -> None:
    stored = on_disk(tmp_path, "aa")
    other = on_disk(tmp_path, "bb", BODY[::-1])
    path = file_of(tmp_path, stored)
    match damage:
        case "flipped":
            flip(path)
        case "cut":
            os.truncate(path, len(BODY) - 1)
        case "longer":
            path.write_bytes(BODY + b"x")
        case "swapped":
            file_of(tmp_path, other).replace(path)
        case "missing":
            path.unlink()
        case _:
            path.unlink()
            path.mkdir()
    with pytest.raises(BodyLost):
        Verifier(tmp_path).open(stored)


@pytest.mark.parametrize("change", ["time", "inode"])
def test_a_file_that_changed_since_is_checked_again(tmp_path: Path, change: str) -> None:
    verifier, stored = Verifier(tmp_path), on_disk(tmp_path, "aa")
    path = file_of(tmp_path, stored)
    verifier.open(stored)
    if change == "time":
        flip(path)
        os.utime(path, ns=(1, 1))
    else:
        status = path.stat()
        fresh = path.with_name("fresh")
        fresh.write_bytes(BODY[::-1])
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        fresh.replace(path)
    with pytest.raises(BodyLost, match="checksum"):
        verifier.open(stored)


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    verifier, stored = Verifier(tmp_path), on_disk(tmp_path, "aa")
    assert not verifier.is_verified(stored)
    verifier.open(stored)
    assert verifier.is_verified(stored)
    flip(file_of(tmp_path, stored))  # with the times put back: nobody looks
    verifier.open(stored)


def test_what_we_wrote_ourselves_is_not_read_again(tmp_path: Path) -> None:
    verifier, stored = Verifier(tmp_path), on_disk(tmp_path, "aa")
    verifier.wrote(stored.id)
    assert verifier.is_verified(stored)
    verifier.open(stored)


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_MOST_VERIFIED", 2)
    verifier = Verifier(tmp_path)
    all_three = [on_disk(tmp_path, name) for name in ("aa", "bb", "cc")]
    for stored in all_three:
        verifier.open(stored)
        assert verifier.is_verified(stored)
    assert sum(verifier.is_verified(stored) for stored in all_three) <= 2


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    stored = on_disk(tmp_path, "aa")
    path = file_of(tmp_path, stored)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BodyLost):
        Verifier(tmp_path).open(stored)


@pytest.mark.parametrize("nowait", [True, False], ids=["page cache", "thread"])
async def test_random_access(
    tmp_path: Path, threads: Threads, nowait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nowait:
        monkeypatch.setattr(bodies, "NOWAIT", None)
    stored = on_disk(tmp_path, "aa")
    body = FileBody(Verifier(tmp_path).open(stored), stored.length, threads)
    assert await body.read_at(10, 20) == BODY[10:30]
    assert await body.read_at(len(BODY) - 5, 100) == BODY[-5:]
    assert await body.read_at(len(BODY), 100) == b""
    number = body.fileno()
    assert number is not None
    assert os.pread(number, 4, 0) == BODY[:4]
    body.close()
    assert body.fileno() is None
    assert await body.read_at(0, 100) == b""


async def test_a_removed_file_stays_readable(tmp_path: Path, threads: Threads) -> None:
    stored = on_disk(tmp_path, "aa")
    body = FileBody(Verifier(tmp_path).open(stored), stored.length, threads)
    file_of(tmp_path, stored).unlink()
    assert await body.read_at(0, len(BODY)) == BODY
    body.close()


async def test_a_file_cut_while_it_is_read_is_lost(tmp_path: Path, threads: Threads) -> None:
    stored = on_disk(tmp_path, "aa")
    body = FileBody(Verifier(tmp_path).open(stored), stored.length, threads)
    os.truncate(file_of(tmp_path, stored), 100)
    assert await body.read_at(0, 1000) == BODY[:100]
    with pytest.raises(BodyLost, match="cut short"):
        await body.read_at(100, 1000)
    body.close()


async def test_the_descriptor_closes_with_its_last_user(tmp_path: Path, threads: Threads) -> None:
    stored = on_disk(tmp_path, "aa")
    file = Verifier(tmp_path).open(stored)
    one, two = (FileBody(file, stored.length, threads) for _ in range(2))
    number = file.number
    del file
    one.close()
    assert await two.read_at(0, 4) == BODY[:4]
    two.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


async def test_inline() -> None:
    body = InlineBody(b"0123456789")
    assert (body.length, body.fileno()) == (10, None)
    assert await body.read_at(3, 4) == b"3456"
    assert await body.read_at(10, 4) == b""
    body.close()
    assert await body.read_at(0, 4) == b""


def test_descriptors_are_closed_once(tmp_path: Path) -> None:
    number = os.open(tmp_path, os.O_RDONLY)
    file = Descriptor(number)
    del file
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


@pytest.mark.parametrize("size", [0, 5120, 5121, 10_000, 10_240, 32_768, 32_769])
def test_a_checksum_in_pieces_is_that_of_the_whole(size: int) -> None:
    body = os.urandom(size)
    assert checksum(body) == crc32(body)
    assert checksum(body, 7) == crc32(body, 7)
