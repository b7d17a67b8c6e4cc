"""The catalogue of a folder: what it finds, and that it is thrown away when it is not of it."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.policy.options import FreshnessOptions, Options
from proxy.policy.rules import Rule
from proxy.policy.stored import StoredResponse
from proxy.policy.tags import GROUP
from proxy.semantics.units import Seconds
from proxy.store import disk
from proxy.store.base import FORMS, StoreFailed
from proxy.store.catalogue import Catalogue
from proxy.store.catalogue_queries import Everything, Glob, Host, Prefix, Query, Selector, Tag, Url
from proxy.store.catalogue_rows import Entry
from proxy.store.changes import Changes
from proxy.store.disk import DATABASE, INDEX
from proxy.store.folder import Folder
from proxy.store.operations import Remove
from proxy.store.tiered import TieredStore
from tests.support.build import resp
from tests.support.stores import KEY, opened, options, put, put_spooled, response

OTHER = "http://b.example/other"
NOW = 1030.0


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    made = Catalogue(tmp_path, Options())
    yield made
    made.close()


def catch_up(catalogue: Catalogue) -> int:
    """Until nothing is left; the number of entries."""
    while (progress := catalogue.catch_up(10_000)).left:
        pass
    return progress.done


def entries(catalogue: Catalogue) -> list[Entry]:
    """All of them, by URL, once everything is in the index."""
    done = catch_up(catalogue)
    page = catalogue.page(Query(sort="url", descending=False, limit=1000), NOW)
    assert page.cursor == ""
    # A page leaves out what is gone from the store; here it must be gone from the index, too.
    assert len(page.entries) == done == catalogue.count(Everything())[0]
    return list(page.entries)


def urls(catalogue: Catalogue) -> list[str]:
    return [entry.url for entry in entries(catalogue)]


async def store_as(
    store: TieredStore, key: str, name: str, *lines: str, body: bytes = b"x"
) -> None:
    head = resp(200, *lines)
    stored = StoredResponse(f"body-{name}", (), head, 1000.0, 1000.0, 0, b"")
    await store.put(key, stored, body, store.removals(key))


async def test_what_an_entry_says(tmp_path: Path, catalogue: Catalogue) -> None:
    lines = ["max-age=60", "Content-Type: Text/HTML; charset=x", "Content-Encoding: gzip"]
    async with opened(tmp_path) as store:
        await store_as(store, KEY, "a", *lines, "Cache-Tag: one, two", body=b"a" * 100)
        (entry,) = entries(catalogue)
    record = len(_value(tmp_path, "m" + KEY))
    assert entry == Entry(
        key=KEY,
        url=KEY,
        host="a.example",
        status=200,
        type="text/html",
        coding="gzip",
        variants=1,
        octets=record + 100,
        stored=1000.0,
        fresh_until=1060.0,
        hits=0,
        used=1000.0,
        tags=("one", "two"),
        rowid=entry.rowid,
    )


def _value(folder: Path, key: str) -> bytes:
    with sqlite3.connect(folder / DATABASE) as connection:
        ((value,),) = connection.execute("SELECT value FROM Cache WHERE key = ?", (key,))
    connection.close()
    assert isinstance(value, bytes)
    return value


async def test_octets_of_a_file_are_its_blocks(tmp_path: Path, catalogue: Catalogue) -> None:
    async with opened(tmp_path) as store:
        await put_spooled(store, KEY, "a", b"a" * 100_000)
        (entry,) = entries(catalogue)
        assert 100_000 < entry.octets < 110_000


async def test_variants_are_one_entry_with_the_newest_ones_face(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        for name, time, tag in (("a", 1000.0, "old"), ("b", 1010.0, "new")):
            stored = replace(response(name, vary=name, time=time), head=resp(
                200 if tag == "old" else 404, "max-age=60", f"xkey: {tag}"
            ))  # fmt: skip
            await store.put(KEY, stored, b"x" * 1000, store.removals(KEY))
        (entry,) = entries(catalogue)
    assert (entry.variants, entry.status, entry.stored) == (2, 404, 1010.0)
    assert entry.fresh_until == 1070.0
    assert entry.tags == ("new", "old")
    assert entry.octets > 2000


async def test_new_changed_and_removed_ones_are_noticed(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        for number in range(5):
            await put(store, f"{KEY}{number}", f"a{number}", b"x")
        assert urls(catalogue) == [f"{KEY}{number}" for number in range(5)]
        rowids = [entry.rowid for entry in entries(catalogue)]
        (stored,) = (await store.lookup(f"{KEY}2")).variants
        await store.update(f"{KEY}2", [replace(stored, head=resp(404, "max-age=1"))])
        await store.remove(f"{KEY}3")
        await put(store, f"{KEY}0", "again", b"y" * 5000)
        await put(store, OTHER, "other", b"x")
        found = {entry.key: entry for entry in entries(catalogue)}
    assert list(found) == [f"{KEY}0", f"{KEY}1", f"{KEY}2", f"{KEY}4", OTHER]
    assert found[f"{KEY}2"].status == 404
    assert found[f"{KEY}2"].rowid == rowids[2]  # changed in its place
    assert found[f"{KEY}0"].octets > 5000


async def test_rowids_that_are_used_again(tmp_path: Path, catalogue: Catalogue) -> None:
    """SQLite gives the rowid of the last row, once that is removed, to the next."""
    async with opened(tmp_path) as store:
        for number in range(4):
            await put(store, f"{KEY}{number}", f"a{number}", b"")
        assert catch_up(catalogue) == 4
        await store.remove(f"{KEY}3")
        await store.remove(f"{KEY}2")
        await put(store, f"{KEY}7", "seven", b"")
        await put(store, f"{KEY}3", "three", b"")
        assert urls(catalogue) == [f"{KEY}0", f"{KEY}1", f"{KEY}3", f"{KEY}7"]


async def test_a_record_where_a_body_was(tmp_path: Path, catalogue: Catalogue) -> None:
    """No greater rowid than the last one seen, and no entry that could be compared."""
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        await put(store, OTHER, "b", b"x")  # record, then body
        assert urls(catalogue) == [KEY, OTHER]
        await store.remove(OTHER)
        await put_spooled(store, f"{KEY}2", "c", b"x" * 100_000)  # body, then record
        assert urls(catalogue) == [KEY, f"{KEY}2"]


async def test_a_row_that_is_of_another_key_now_is_on_no_page(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        catch_up(catalogue)
        await store.remove(KEY)
        await put(store, OTHER, "b", b"x")
        assert catalogue.page(Query(), NOW) == ((), "")


def _killed_before_it_settled(folder: Folder, catalogue: Catalogue) -> None:
    """A change whose stamp says for good that it is under way; we looked before it was done."""
    folder.generations.changing(KEY)
    catch_up(catalogue)
    with folder.table.transaction():
        Changes(folder).apply(Remove(KEY, None))


async def test_a_change_of_a_process_that_was_killed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        await put(store, OTHER, "b", b"x")
    folder, catalogue = Folder(options(tmp_path)), Catalogue(tmp_path, Options())
    assert urls(catalogue) == [KEY, OTHER]
    _killed_before_it_settled(folder, catalogue)
    assert urls(catalogue) == [OTHER]
    assert catalogue.catch_up(1000).left == 0
    catalogue.close()
    folder.table.leave()
    folder.close()


async def test_all_gone(tmp_path: Path, catalogue: Catalogue) -> None:
    async with opened(tmp_path) as store:
        for number in range(20):
            await put(store, f"{KEY}{number}", f"a{number}", b"x")
        assert catch_up(catalogue) == 20
        for number in range(20):
            await store.remove(f"{KEY}{number}")
        assert urls(catalogue) == []
        assert catalogue.catch_up(1).done == 0
        assert catalogue.count(Everything()) == (0, 0)


async def test_what_is_gone_is_on_no_page_even_before_it_is_noticed(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            await put(store, f"{KEY}{number}", f"a{number}", b"x")
        catch_up(catalogue)
        await store.remove(f"{KEY}1")
        page = catalogue.page(Query(sort="url", descending=False, limit=2), NOW)
        assert [entry.key for entry in page.entries] == [f"{KEY}0"]
        assert page.cursor


async def test_changes_of_another_process_and_from_before_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as ours, opened(tmp_path) as theirs:
        await put(ours, KEY, "a", b"x")
        first = Catalogue(tmp_path, Options())
        assert urls(first) == [KEY]
        first.close()
        await put(theirs, OTHER, "b", b"x")
        await theirs.remove(KEY)
        second, third = Catalogue(tmp_path, Options()), Catalogue(tmp_path, Options())
        assert urls(second) == urls(third) == [OTHER]
        await put(ours, KEY, "c", b"x")
        assert urls(second) == urls(third) == [KEY, OTHER]
        second.close()
        third.close()


@pytest.mark.parametrize("generations", ["none", "another"])
async def test_without_the_stamps_of_the_time_every_row_is_compared(
    tmp_path: Path, generations: str
) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        await put(store, OTHER, "b", b"x")
    # A new file says of every slot what it says of one in which nothing ever changed.
    (tmp_path / "generations").unlink()
    async with opened(tmp_path) as store:
        catalogue = Catalogue(tmp_path, Options())
        assert catch_up(catalogue) == 2
        catalogue.close()
        await store.remove(KEY)
    (tmp_path / "generations").unlink()
    if generations == "another":
        folder = Folder(options(tmp_path))
        folder.table.leave()
        folder.close()
    for _ in range(2):
        catalogue = Catalogue(tmp_path, Options())
        assert urls(catalogue) == [OTHER]
        catalogue.close()


async def test_straight_on_a_folder_that_nobody_has_open(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    with pytest.raises(StoreFailed, match="no cache in"):
        catalogue.catch_up(1)
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
    plain = Catalogue(tmp_path)
    assert urls(plain) == [KEY]
    plain.close()
    (tmp_path / "generations").unlink()
    plain = Catalogue(tmp_path)
    assert urls(plain) == [KEY]
    plain.close()
    assert (tmp_path / INDEX).stat().st_mode & 0o777 == 0o600


def _spoil(folder: Path, way: str) -> None:
    index = folder / INDEX
    match way:
        case "missing":
            index.unlink()
        case "damaged":
            for path in folder.glob(f"{INDEX}-*"):
                path.unlink()
            index.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
        case "no database":
            for path in folder.glob(f"{INDEX}-*"):
                path.unlink()
            index.write_bytes(b"garbage" * 1000)
        case "another schema":
            with sqlite3.connect(index) as connection:
                connection.execute("PRAGMA user_version = 99")
            connection.close()
        case _:
            with sqlite3.connect(index) as connection:
                connection.execute("DROP TABLE entries")
            connection.close()


@pytest.mark.parametrize("way", ["missing", "damaged", "no database", "another schema", "no table"])
@pytest.mark.parametrize("open_", [False, True], ids=["closed", "open"])
async def test_an_index_that_is_not_ours_is_made_anew(
    tmp_path: Path, way: str, open_: bool
) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        catalogue = Catalogue(tmp_path, Options())
        assert urls(catalogue) == [KEY]
        if not open_:
            catalogue.close()
        _spoil(tmp_path, way)
        assert urls(catalogue) == [KEY]
        catalogue.close()


async def test_another_database_is_another_catalogue(tmp_path: Path, catalogue: Catalogue) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        catch_up(catalogue)
        store._folder.replace_database(sqlite3.DatabaseError("for the test"))
        store._folder.table.leave()
        store._memory.clear()
        await put(store, OTHER, "b", b"x")
        assert urls(catalogue) == [OTHER]


async def test_a_damaged_store_fails_with_a_sentence(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / DATABASE).write_bytes(b"garbage" * 1000)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="index of the cache"):
            catalogue.catch_up(1)


async def test_damaged_records_are_skipped_and_counted(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        for number in range(6):
            await put(store, f"{KEY}{number}", f"a{number}", b"x")
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        for number, change in enumerate(
            [
                "value = x'00'",
                "value = 'text'",
                "value = NULL",
                "key = key || '!'",
                "key = CAST(CAST(key AS BLOB) || x'ff' AS TEXT)",
            ]
        ):
            text = f"UPDATE Cache SET {change} WHERE key = ?"
            assert connection.execute(text, (f"m{KEY}{number}",)).rowcount == 1
    connection.close()
    assert urls(catalogue) == [f"{KEY}5"]
    assert catalogue.catch_up(1) == (1, 0, 5)
    async with opened(tmp_path) as store:
        await put(store, f"{KEY}0", "again", b"x")
        assert urls(catalogue) == [f"{KEY}0", f"{KEY}5"]
        assert catalogue.catch_up(1).damaged == 4


async def test_kept_forms_count_with_their_entry(tmp_path: Path, catalogue: Catalogue) -> None:
    form = f"{FORMS}body-a gzip"
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x" * 100)
        (plain,) = entries(catalogue)
        await put(store, form, "f", b"y" * 50)
        (formed,) = entries(catalogue)
        record = len(_value(tmp_path, "m" + form))
        assert formed.octets == plain.octets + record + 50
        (stored,) = (await store.lookup(KEY)).variants
        await store.update(KEY, [replace(stored, invalid=True)])
        (updated,) = entries(catalogue)
        assert abs(updated.octets - formed.octets) < 10
        await store.remove(form)
        (bare,) = entries(catalogue)
        assert bare.octets == updated.octets - record - 50
        await put(store, form, "f2", b"y" * 50)
        await put(store, KEY, "b", b"x" * 100)  # another body: the form is nobody's now
        (other,) = entries(catalogue)
        assert abs(other.octets - plain.octets) < 10
        await put(store, f"{FORMS}nobody gzip", "f3", b"z")
        assert urls(catalogue) == [KEY]


async def test_uses_are_counted_and_survive_a_change(tmp_path: Path, catalogue: Catalogue) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        catalogue.note({KEY: (2, 1005.0), OTHER: (1, 1001.0), "http://\udc80/": (1, 1.0)})
        assert [(e.hits, e.used) for e in entries(catalogue)] == [(2, 1005.0)]
        catalogue.note({KEY: (3, 1004.0), OTHER: (5, 1002.0)})
        (stored,) = (await store.lookup(KEY)).variants
        await store.update(KEY, [replace(stored, invalid=True)])
        assert [(e.hits, e.used) for e in entries(catalogue)] == [(5, 1005.0)]
        catalogue.note({OTHER: (7, 1003.0)})
        await put(store, OTHER, "b", b"x")
        assert [(e.hits, e.used) for e in entries(catalogue)] == [(5, 1005.0), (7, 1003.0)]


async def test_other_options_are_another_freshness(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store_as(store, KEY, "a", "xkey: t")
        await store_as(store, OTHER, "b", "max-age=5")
    rule = Rule(match="http://a.example/**", freshness=Seconds(100.0))
    kept = Options(freshness=FreshnessOptions(), rules=(rule,))
    hits = []
    for settings, until in ((Options(), 1000.0), (kept, 1100.0), (None, 1100.0), (kept, 1100.0)):
        catalogue = Catalogue(tmp_path, settings)
        found = {entry.key: entry for entry in entries(catalogue)}
        assert found[KEY].fresh_until == until
        assert found[OTHER].fresh_until == 1005.0
        assert catalogue.count(Tag("t"))[0] == 1
        hits.append(found[KEY].hits)
        catalogue.note({KEY: (1, 1001.0)})
        catalogue.close()
    assert hits == [0, 1, 2, 3]


async def test_no_rule_is_for_a_key_that_is_no_uri(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store_as(store, "no uri", "a", "max-age=5")
    catalogue = Catalogue(tmp_path, Options(rules=(Rule(regex=".", freshness=Seconds(9.0)),)))
    (entry,) = entries(catalogue)
    assert (entry.host, entry.fresh_until) == ("", 1005.0)
    catalogue.close()


async def test_the_store_is_written_while_the_index_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
        catalogue = Catalogue(tmp_path, Options())
        catch_up(catalogue)
        desk = catalogue._writing
        began, go_on = threading.Event(), threading.Event()

        def hold(follower: object) -> None:
            assert desk._connection is not None
            desk._connection.execute("BEGIN IMMEDIATE")
            desk._connection.execute("SELECT count(*) FROM store.Cache").fetchall()
            began.set()
            go_on.wait()
            desk._connection.execute("ROLLBACK")

        thread = threading.Thread(target=desk.use, args=(hold,))
        thread.start()
        began.wait()
        try:
            await put(store, OTHER, "b", b"x")
            assert catalogue.page(Query(), NOW).entries[0].key == KEY  # nor does a page wait
        finally:
            go_on.set()
            thread.join()
        assert urls(catalogue) == [KEY, OTHER]
        catalogue.close()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Url("http://a.example/1"), ["http://a.example/1"]),
        (Url("http://a.example/"), []),
        (Prefix("http://a.example/1"), ["http://a.example/1", "http://a.example/1/%5f_%25.deb"]),
        (Prefix("http://a.example/1/%"), ["http://a.example/1/%5f_%25.deb"]),
        (Prefix(""), None),
        (Prefix("\U0010ffff"), []),
        (Host("A.example"), ["http://a.example/1", "http://a.example/1/%5f_%25.deb",
                             "http://a.example:81/x", "https://a.example/x"]),
        (Host("a.example:81"), ["http://a.example:81/x"]),
        (Host("a"), []),
        (Host("[::1]"), ["http://[::1]:8080/'\"; --"]),
        (Glob("http://a.example/**/*.deb"), ["http://a.example/1/%5f_%25.deb"]),
        (Glob("http://*.example/*"), ["http://a.example/1", "http://aa.example/1"]),
        (Glob("*://a.example/x"), ["https://a.example/x"]),
        (Glob("HTTP://A.example:81/x"), ["http://a.example:81/x"]),
        (Tag("odd"), ["http://a.example/1", "http://a.example:81/x", "https://a.example/x"]),
        (Tag("' OR 1"), []),
        (Tag(GROUP + "g", "http://a.example"), ["http://a.example/1/%5f_%25.deb"]),
        (Tag(GROUP + "g", "http://b.example"), []),
        (Everything(), None),
    ],
    ids=repr,
)  # fmt: skip
async def test_selections(
    tmp_path: Path, catalogue: Catalogue, selector: Selector, expected: list[str] | None
) -> None:
    keys = [
        "http://a.example/1",
        "http://a.example/1/%5f_%25.deb",
        "http://a.example:81/x",
        "http://aa.example/1",
        "http://[::1]:8080/'\"; --",
        "https://a.example/x",
    ]
    async with opened(tmp_path) as store:
        for number, key in enumerate(keys):
            tag = "xkey: odd" if number in {0, 2, 5} else 'Cache-Groups: "g"'
            await store_as(store, key, f"n{number}", "max-age=9", tag)
    catch_up(catalogue)
    wanted = sorted(keys) if expected is None else sorted(expected)
    assert catalogue.keys(selector, "", 100) == wanted
    assert catalogue.count(selector)[0] == len(wanted)
    if wanted:
        assert catalogue.count(selector)[1] > 0
        assert catalogue.keys(selector, "", 1) == wanted[:1]
        assert catalogue.keys(selector, wanted[0], 100) == wanted[1:]


async def test_a_bad_glob_is_a_value_error(tmp_path: Path, catalogue: Catalogue) -> None:
    async with opened(tmp_path):
        pass
    for ask in (catalogue.count, lambda selector: catalogue.keys(selector, "", 1)):
        with pytest.raises(ValueError, match="is not like"):
            ask(Glob("no glob"))


async def test_a_full_disk_is_a_store_failed(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"x")
    catch_up(catalogue)
    assert catalogue._writing._connection is not None
    catalogue._writing._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreFailed, match="index of the cache"):
        catalogue.note({KEY: (1, 1.0)})
    catalogue.note({KEY: (1, 1.0)})


def test_the_index_counts_in_the_size_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(bytes(100_000))
    (tmp_path / f"{INDEX}-wal").write_bytes(bytes(50_000))
    folder = Folder(options(tmp_path))
    assert folder.limit < options(tmp_path).max_size - 150_000
    folder.table.leave()
    folder.close()
    assert disk.INDEX == INDEX


async def test_whether_anything_is_stored_is_known_at_once(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with opened(tmp_path) as store:
        assert not catalogue.stored("http://a.example/")
        await store_as(store, "http://a.example:8080/x", "a", "max-age=60")
        await store_as(store, "http://b.example/", "b", "max-age=60")
        assert catalogue.stored("http://a.example:8080/")
        assert catalogue.stored("http://b.example/")
        for prefix in ("http://a.example/", "http://a.example:80/", "https://b.example/"):
            assert not catalogue.stored(prefix)
        await store.remove("http://b.example/")
        assert not catalogue.stored("http://b.example/")


async def test_a_glob_holds_nobody_up(tmp_path: Path, catalogue: Catalogue) -> None:
    """Three stars over long keys, each in a turn of its own: others have theirs between two."""
    async with opened(tmp_path) as store:
        for number in range(60):
            await store_as(store, f"http://a.example/{'a' * 8000}{number}", str(number))
        catch_up(catalogue)
        selector = Glob("http://a.example/**a**a**a**b")
        counting = asyncio.create_task(asyncio.to_thread(catalogue.count, selector))
        longest, began = 0.0, time.perf_counter()
        while not counting.done():
            await asyncio.sleep(0)
            longest, began = max(longest, time.perf_counter() - began), time.perf_counter()
        assert await counting == (0, 0)
        assert longest < 0.25
        assert catalogue.keys(Glob("http://a.example/**a**a**a*7"), "", 9) != []
