import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.store import writer
from proxy.store.base import StoreFailed
from proxy.store.bodies import LARGEST_INLINE
from proxy.store.disk import Kept
from proxy.store.folder import Folder
from proxy.store.operations import Committed, MakeRoom, Put, Remove, Update
from proxy.store.packs import SMALLEST as SMALLEST_PACKED
from proxy.store.packs import is_pack
from proxy.store.rawdisk import SpooledBody
from proxy.store.threads import Handover
from proxy.store.writer import Writer
from tests.support.stores import KEY, SMALLEST, body_files, options, response, spool_files


class Place:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = Folder(options(path, SMALLEST))
        self.writer = Writer(self.folder, Handover(asyncio.get_running_loop()))

    def put(self, key: str, name: str, body: bytes | SpooledBody = b"") -> asyncio.Future[object]:
        length = body.length if isinstance(body, SpooledBody) else len(body)
        stored = replace(response(name), length=length)
        since = self.folder.generations.removals(key)
        return self.writer.submit(Put(key, stored, body, since))


def committed(answer: object) -> Committed:
    assert isinstance(answer, Committed)
    return answer


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """The writer has not started: what is submitted until then is one group."""
    opened = Place(tmp_path)
    yield opened
    await asyncio.to_thread(opened.writer.join)
    opened.folder.close()


def count_commits(place: Place) -> list[int]:
    """Grows with each transaction."""
    commits: list[int] = []
    transaction = place.folder.table.transaction

    def counted() -> AbstractContextManager[None]:
        commits.append(1)
        return transaction()

    place.folder.table.transaction = counted  # type: ignore[method-assign,assignment]
    return commits


async def test_one_commit_for_all_that_waits(place: Place) -> None:
    commits = count_commits(place)
    puts = [place.put(f"{KEY}/{n}", f"{n}0", b"x" * 1000) for n in range(100)]
    place.writer.start()
    answers = await asyncio.gather(*puts)
    assert all(isinstance(answer, Committed) for answer in answers)
    assert len(commits) == 1


async def test_operations_on_one_key_are_applied_in_order(place: Place) -> None:
    first = place.put(KEY, "first")
    update = place.writer.submit(Update(KEY, (response("first", time=2000.0),)))
    second = place.put(KEY, "second")
    remove = place.writer.submit(Remove(KEY, None))
    late = place.put(KEY, "late")  # its fill began before the removal is applied
    place.writer.start()
    assert [s.response_time for s in committed(await update).variants] == [2000.0]
    assert [stored.id for stored in committed(await second).variants] == ["body-second"]
    assert (await remove, await late) == (1, None)
    assert (await first) is not None


async def test_one_bad_operation_does_not_take_its_group_down(place: Place) -> None:
    keys = [f"{KEY}/{n}" for n in range(10)]
    keys[5] += "\ud800"  # not to be encoded
    sized = replace(response(""), length=50_000)
    futures = [
        place.writer.submit(Put(key, replace(sized, id=f"body-{n}0"), os.urandom(50_000), 0))
        for n, key in enumerate(keys)
    ]
    place.writer.start()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [5]
    assert isinstance(answers[5], StoreFailed)
    assert not place.writer.is_down, "the disk has done nothing"
    assert len(body_files(place.path)) == 9
    assert spool_files(place.path) == []
    assert place.writer.keys == 9


def octets_of_files(place: Place) -> int:
    return sum(path.stat().st_blocks * 512 for path in body_files(place.path))


async def test_many_small_bodies_are_written_to_one_pack(place: Place) -> None:
    assert place.folder.packs is not None, "this file system has holes"
    sizes = [SMALLEST_PACKED + 1, LARGEST_INLINE] * 10
    bodies = {f"body-{n}": os.urandom(size) for n, size in enumerate(sizes)}
    puts = [place.put(f"{KEY}/{n}", str(n), body) for n, body in enumerate(bodies.values())]
    puts += [place.put(f"{KEY}/small", "small", b"x" * SMALLEST_PACKED)]
    place.writer.start()
    await asyncio.gather(*puts)
    (pack,) = body_files(place.path)
    assert is_pack(pack.name)
    read = {id_: await asyncio.to_thread(place.folder.table.inline_body, id_) for id_ in bodies}
    assert read == bodies
    files = (await asyncio.to_thread(place.folder.table.usage)).files
    assert files == octets_of_files(place)
    assert pack.stat().st_size == octets_of_files(place), "the smallest is a row"
    await asyncio.to_thread(place.folder.table.leave)


@pytest.mark.parametrize("gone", ["removed", "replaced", "removed since", "put twice"])
async def test_a_place_in_a_pack_is_given_back(place: Place, gone: str) -> None:
    body = b"x" * 10_000
    since = place.put(f"{KEY}/0", "since", body) if gone == "removed since" else None
    if since is not None:
        place.folder.generations.removing(f"{KEY}/0")
    puts = [place.put(f"{KEY}/{n}", str(n), body) for n in range(8)]
    if gone == "put twice":
        puts.append(place.put(f"{KEY}/0", "again", body))
    place.writer.start()
    await asyncio.gather(*puts)
    if gone == "removed":
        await place.writer.submit(Remove(f"{KEY}/0", None))
    elif gone == "replaced":
        await place.put(f"{KEY}/0", "new", b"")
    left = 8 - (gone in {"removed", "replaced"})
    assert octets_of_files(place) == left * 12288
    for n in range(8):
        await place.writer.submit(Remove(f"{KEY}/{n}", None))
    assert octets_of_files(place) == 0
    await asyncio.to_thread(place.writer.join)
    await asyncio.to_thread(place.folder.packs.close if place.folder.packs else list)
    assert body_files(place.path) == []


async def test_a_failed_group_leaves_nothing_in_the_pack(place: Place) -> None:
    puts = [place.put(f"{KEY}/{n}", str(n), b"x" * 10_000) for n in range(8)]
    wrong = place.writer.submit(Put(KEY, response("wrong"), b"", since=0))
    gone = str(place.path / "gone")
    bad = place.put(f"{KEY}/bad", "bad", SpooledBody(gone, 50_000, 0))
    place.writer.start()
    answers = await asyncio.gather(*puts, wrong, bad, return_exceptions=True)
    assert all(isinstance(answer, Committed) for answer in answers[:-1])
    assert isinstance(answers[-1], StoreFailed)
    assert octets_of_files(place) == 8 * 12288, "of those that were tried again, one by one"
    bodies = [await asyncio.to_thread(place.folder.table.inline_body, f"body-{n}") for n in "07"]
    assert bodies == [b"x" * 10_000] * 2
    await asyncio.to_thread(place.folder.table.leave)


async def test_puts_wait_for_company_but_nothing_waits_for_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_GATHERING", 60.0)
    commits = count_commits(place)
    taken, gather = threading.Event(), place.writer._gather

    def gathering() -> None:
        taken.set()
        gather()

    place.writer._gather = gathering  # type: ignore[method-assign]
    place.writer.start()
    await place.put(KEY, "first")
    taken.clear()
    lonely = place.put(f"{KEY}/lonely", "lonely")
    assert await asyncio.to_thread(taken.wait, 20)
    assert await asyncio.wait_for(place.writer.submit(Remove(KEY, None)), 20) == 1
    assert lonely.done()
    assert len(commits) == 2, "it went along"
    crowd = [place.put(f"{KEY}/{n}", f"crowd-{n}") for n in range(writer._ENOUGH + 1)]
    assert len(await asyncio.wait_for(asyncio.gather(*crowd), 20)) == len(crowd)
    last = place.put(KEY, "last")
    await asyncio.to_thread(place.writer.join)
    assert isinstance(await last, Committed)


async def test_a_spooled_body_is_adopted_with_its_promise(place: Place) -> None:
    path = Path(place.folder.spools.new_path())
    await asyncio.to_thread(path.write_bytes, b"x" * 1_000_000)
    place.folder.spools.promise(1_500_000)
    stored = place.put(KEY, "a", SpooledBody(str(path), 1_000_000, 1_500_000))
    place.writer.start()
    await stored
    assert spool_files(place.path) == []
    assert place.folder.generations.in_flight() == 0


async def test_a_vanished_spool_file_fails_alone_and_is_warned_of_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    vanished = [place.put(KEY, f"a{n}", SpooledBody("/nowhere", 10, 10)) for n in range(3)]
    good = place.put(f"{KEY}/good", "b", b"B")
    with caplog.at_level(logging.WARNING):
        place.writer.start()
        answers = await asyncio.gather(*vanished, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreFailed}
    assert isinstance(await good, Committed)
    assert len(caplog.messages) == 1
    assert place.writer.is_down


async def test_no_room_when_all_of_it_is_promised(place: Place) -> None:
    place.folder.generations.set_in_flight(40, SMALLEST)  # by another process
    refused, removed = place.put(KEY, "a", b"A"), place.writer.submit(Remove(KEY, None))
    room = place.writer.submit(MakeRoom())
    place.writer.start()
    for future in (refused, room):
        with pytest.raises(StoreFailed, match="no room"):
            await future
    assert await removed == 0
    place.folder.generations.set_in_flight(40, 0)
    assert isinstance(await place.put(KEY, "a", b"A"), Committed)


async def test_a_long_journal_is_emptied(place: Place) -> None:
    place.writer.start()
    for n in range(10):
        await place.put(f"{KEY}/{n}", f"{n}0", os.urandom(15_000))
    assert place.folder.table.journal() > 150_000
    place.folder.journal_limit = 0
    await place.put(KEY, "a", b"A")
    assert place.folder.table.journal() < 100_000


async def test_what_nobody_expected_reaches_whoever_asked(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    kept = place.put(KEY, "a")
    broken = place.writer.submit(Update(KEY, (None,)))  # type: ignore[arg-type]
    place.writer.start()
    with pytest.raises(StoreFailed):
        await broken
    assert isinstance(await kept, Committed), "only whoever brought it fails"
    assert isinstance(await place.put(KEY, "a"), Committed), "the thread lives on"
    assert len(caplog.messages) == 1


def failing_times(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int, error: Exception
) -> list[int]:
    """The first transactions fail so; the sizes of all groups that were tried."""
    tried: list[int] = []
    apply = place.writer._apply

    def failing(group: list[writer._Job]) -> dict[str, int]:
        tried.append(len(group))
        if len(tried) <= times:
            raise error
        return apply(group)

    monkeypatch.setattr(place.writer, "_apply", failing)
    return tried


async def test_a_group_for_which_there_is_no_transaction_is_refused_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would wait for the database as long as the group has."""
    tried = failing_times(place, monkeypatch, 1, Kept())
    asked = [place.put(f"{KEY}/{number}", f"a{number}") for number in range(5)]
    place.writer.start()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreFailed] * 5
    assert tried == [5]


def corrupt() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@pytest.mark.parametrize(("times", "replaced"), [(1, False), (2, True)])
async def test_what_looks_damaged_once_is_not_replaced(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int, replaced: bool
) -> None:
    """SQLite says the same of a page that could not be read for a moment."""
    failing_times(place, monkeypatch, times, corrupt())
    table = place.folder.table
    asked = place.put(KEY, "a", b"A")
    place.writer.start()
    assert isinstance(await asked, Committed)
    assert (place.folder.table is not table) == replaced


async def test_join_commits_what_is_queued(tmp_path: Path) -> None:
    place = Place(tmp_path)
    futures = [place.put(f"{KEY}/{n}", f"{n}0", b"x") for n in range(300)]
    place.writer.start()
    await asyncio.to_thread(place.writer.join)
    assert len(await asyncio.gather(*futures)) == 300
    place.folder.close()
    assert "store-writer" not in [thread.name for thread in threading.enumerate()]


def test_groups_are_bounded() -> None:
    assert writer._MOST_IN_A_GROUP * (32 * 1024 + 1024) < 5 * 2**20
