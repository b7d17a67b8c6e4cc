import os
import pickle
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import diskcache
import pytest

from proxy.store import disk
from proxy.store.disk import Table, UnknownSchema, is_damage, move_aside
from proxy.store.rawdisk import RefusedRow, SpooledBody
from proxy.store.reading import PAGE
from tests.support.stores import KEY, body_files

BODY = os.urandom(100_000)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path, 1000)
    yield opened
    opened.leave()


def spooled(folder: Path, name: str = "spooled", body: bytes = BODY) -> SpooledBody:
    path = folder / name
    path.write_bytes(body)
    return SpooledBody(str(path), len(body), 0)


def plant(folder: Path, **columns: object) -> None:
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    with sqlite3.connect(folder / disk.DATABASE) as connection:
        connection.execute(f"INSERT INTO Cache ({names}) VALUES ({marks})", (*columns.values(),))
    connection.close()


def rows(folder: Path) -> int:
    with sqlite3.connect(folder / disk.DATABASE) as connection:
        ((count,),) = connection.execute("SELECT COUNT(*) FROM Cache")
    connection.close()
    return int(count)


def test_records_and_bodies(table: Table, tmp_path: Path) -> None:
    body = spooled(tmp_path)
    with table.transaction():
        table.write_record(KEY, b"record")
        table.write_body(KEY, "body-a", b"inline")
        table.write_body(KEY, "body-b", body)
    assert table.record(KEY) == b"record"
    assert table.inline_body("body-a") == b"inline"
    assert [path.read_bytes() for path in body_files(tmp_path)] == [BODY]
    assert not Path(body.path).exists()
    assert table.count_keys() == 1
    with table.transaction():
        table.delete_bodies(["body-b"])
        assert body_files(tmp_path)
    assert not body_files(tmp_path)
    assert table.inline_body("body-b") is None


def test_a_rollback_undoes_renames_and_unlinks(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_body(KEY, "body-a", spooled(tmp_path))
    body = spooled(tmp_path)
    before = table.usage()

    def broken() -> None:
        with table.transaction():
            table.delete_bodies(["body-a"])
            table.write_body(KEY, "body-b", body)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert Path(body.path).read_bytes() == BODY
    assert [path.name for path in body_files(tmp_path)] == ["body-a"]
    assert table.usage().files == before.files


def test_files_are_counted_in_blocks(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_body(KEY, "body-a", spooled(tmp_path, body=b"x" * 40_000))
    (path,) = body_files(tmp_path)
    assert table.usage().files == path.stat().st_blocks * 512
    with table.transaction():
        table.delete_bodies(["body-a"])
    assert table.usage().files == 0


def test_pages_are_counted_as_they_are_used_and_given_back(table: Table, tmp_path: Path) -> None:
    empty = table.usage()
    with table.transaction():
        for number in range(100):
            table.write_body(KEY, f"body-{number}", os.urandom(20_000))
    full = table.usage()
    assert full.pages - empty.pages >= 100 * 20_000
    with table.transaction():
        for number in range(100):
            table.delete_bodies([f"body-{number}"])
        within = table.usage()
    assert within.free >= 100 * 20_000
    table.vacuum(within.free)
    table.checkpoint()
    assert table.usage().free < 10 * PAGE
    assert (tmp_path / disk.DATABASE).stat().st_size < empty.pages + 20 * PAGE
    assert table.journal() == 0


def test_a_checkpoint_does_not_wait_for_a_long_reader(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_record(KEY, b"x")
    reader = sqlite3.connect(tmp_path / disk.DATABASE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM Cache").fetchall()
    begun = time.perf_counter()
    table.checkpoint()
    assert time.perf_counter() - begun < 1
    assert table.journal() > 0
    reader.close()
    table.checkpoint()
    assert table.journal() == 0


def test_records_in_the_order_they_came(table: Table) -> None:
    with table.transaction():
        for key in "cab":
            table.write_record(key, key.encode())
            table.write_body(key, f"body-{key}", b"x")
    with table.transaction():
        table.write_record("c", b"again")  # keeps its row
    (first, second) = table.records_after(0, 2)
    assert (first.key, first.record, second.key) == ("c", b"again", "a")
    (third,) = table.records_after(second.rowid, 10)
    assert third.key == "b"
    with table.transaction():
        table.delete_rows([second.rowid])
    assert table.record("a") is None


def test_bodies_are_found_by_the_key_they_are_tagged_with(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_body(KEY, "body-a", b"x")
        table.write_body(KEY, "body-b", spooled(tmp_path))
        table.write_body("http://other.example/", "body-c", b"x")
    with table.transaction():
        table.delete_bodies_of(KEY)
    assert [table.has_body(f"body-{name}") for name in "abc"] == [False, False, True]
    assert body_files(tmp_path) == []


@pytest.mark.parametrize("value", [1, 1.5, "text", None, [], object()])
def test_values_are_octets_or_spooled(table: Table, value: object) -> None:
    with pytest.raises(TypeError), table.transaction():
        table.write_record(KEY, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, "text", None, object()])
def test_bodies_are_octets_or_spooled(table: Table, value: object) -> None:
    with pytest.raises(TypeError), table.transaction():
        table.write_body(KEY, "body-a", value)  # type: ignore[arg-type]


def columns(folder: Path) -> list[tuple[str, str, int]]:
    with sqlite3.connect(folder / disk.DATABASE) as connection:
        rows = connection.execute("PRAGMA table_info(Cache)").fetchall()
    connection.close()
    return [(name, kind, not_null) for _, name, kind, not_null, *_ in rows]


def test_the_schema_of_diskcache_is_the_one_our_statements_assume(
    table: Table, tmp_path: Path
) -> None:
    assert columns(tmp_path) == [
        ("rowid", "INTEGER", 0),
        ("key", "BLOB", 0),
        ("raw", "INTEGER", 0),
        ("store_time", "REAL", 0),
        ("expire_time", "REAL", 0),
        ("access_time", "REAL", 0),
        ("access_count", "INTEGER", 0),
        ("tag", "BLOB", 0),
        ("size", "INTEGER", 0),
        ("mode", "INTEGER", 0),
        ("filename", "TEXT", 0),
        ("value", "BLOB", 0),
    ]
    assert table._sql("SELECT sql FROM sqlite_master WHERE name = 'Cache_key_raw'") == [
        ("CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",)
    ]
    triggers = table._sql("SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    assert [name for (name,) in triggers] == [
        "Settings_count_delete",
        "Settings_count_insert",
        "Settings_size_delete",
        "Settings_size_insert",
        "Settings_size_update",
    ]


def test_rows_are_as_diskcache_would_have_written_them(table: Table, tmp_path: Path) -> None:
    seen = "SELECT key, raw, expire_time, access_count, tag, size, mode, filename, value FROM Cache"
    with table.transaction():
        table.write_body(KEY, "body-a", b"octets")
    ours = table._sql(seen)
    other = diskcache.Cache(str(tmp_path / "other"), disk_min_file_size=2**31)
    other.set("bbody-a", b"octets", tag=KEY)
    assert ours == other._sql(seen).fetchall()
    other.close()


def test_diskcache_finds_nothing_amiss(table: Table, tmp_path: Path) -> None:
    names = [f"body-{number:03}" for number in range(200)]
    for turn in range(2):  # new rows, then the same again
        with table.transaction():
            for name in names:
                table.write_record(name, b"record" * turn)
                table.write_body(name, name, b"x" * 10_000)
            table.write_body(KEY, f"file-{turn}-aa", spooled(tmp_path, body=b"x" * 8192))
    with table.transaction():
        table.delete_bodies([*names[:77], "file-0-aa", "never-there"])
        table.delete_rows([row.rowid for row in table.records_after(0, 13)])
        table.delete_record(names[99])
    assert [str(warning.message) for warning in table._cache.check()] == []
    assert table.count_keys() == 200 - 14
    assert sum(table.has_body(name) for name in names) == 200 - 77
    assert [path.name for path in body_files(tmp_path)] == ["file-1-aa"]


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 127, 128, 200])
def test_all_rows_of_a_transaction_are_written(table: Table, count: int) -> None:
    with table.transaction():
        for number in range(count):
            table.write_record(f"{number}", f"{number}".encode())
    assert [table.record(f"{number}") for number in range(count)] == [
        f"{number}".encode() for number in range(count)
    ]
    assert table.count_keys() == count


def test_what_was_written_last_counts(table: Table) -> None:
    with table.transaction():
        table.write_record("a", b"first")
        table.write_record("a", b"second")
        table.write_record("b", b"x")
        table.delete_record("b")
        table.write_body("a", "body-a", b"x")
        table.delete_bodies(["body-a"])
    assert (table.record("a"), table.record("b")) == (b"second", None)
    assert not table.has_body("body-a")


def test_a_rollback_forgets_the_rows(table: Table) -> None:
    def broken() -> None:
        with table.transaction():
            table.write_record("a", b"x")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    with table.transaction():
        table.write_record("b", b"x")
    assert (table.record("a"), table.record("b")) == (None, b"x")


def test_a_planted_pickle_is_never_loaded(table: Table, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    (tmp_path / "bodies" / "ap").mkdir()
    (tmp_path / "bodies" / "ap" / "trap").write_bytes(trap)
    plant(tmp_path, key="m" + KEY, raw=1, mode=4, value=trap)
    plant(tmp_path, key="bvalue", raw=1, mode=4, value=trap)
    plant(tmp_path, key="bfile", raw=1, mode=4, filename="bodies/ap/trap")
    plant(tmp_path, key=trap, raw=0, mode=4, value=trap)
    assert table.record(KEY) == b""
    assert table.inline_body("value") is None
    assert table.inline_body("file") is None
    with pytest.raises(RefusedRow):
        list(table._cache)
    with table.transaction():
        assert [row.record for row in table.records_after(0, 10)] == [b""]
        table.write_record(KEY, b"ours")
        table.delete_bodies(["value"])
        table.delete_bodies(["file"])
    assert table.record(KEY) == b"ours"
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "sprung").exists(), "the trap works"


def test_a_planted_file_name_reaches_nothing_outside(table: Table, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    for number, name in enumerate((str(secret), "../secret", "bodies/../secret", "secret")):
        plant(tmp_path, key=f"b{number}0", raw=1, mode=2, size=0, filename=name)
        assert table.inline_body(f"{number}0") is None
        with table.transaction():
            table.delete_bodies([f"{number}0"])
    assert secret.exists()
    assert rows(tmp_path) == 0


def test_a_text_that_is_no_longer_text_does_not_stop_the_hand(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_record("a", b"x")
        table.write_record("b", b"x")
    with sqlite3.connect(tmp_path / disk.DATABASE) as connection:
        connection.execute("UPDATE Cache SET key = CAST(x'6dff' AS TEXT) WHERE key = 'ma'")
    connection.close()
    with table.transaction():
        damaged, whole = table.records_after(0, 10)
        table.delete_rows([damaged.rowid])
    assert whole.key == "b"
    assert rows(tmp_path) == 1


def test_only_we_can_read_it(table: Table, tmp_path: Path) -> None:
    with table.transaction():
        table.write_record(KEY, b"x")
        table.write_body(KEY, "body-a", spooled(tmp_path))
    files = list(tmp_path.glob("cache.db*"))
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    folders = [path for path in (tmp_path / "bodies").rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_settings_are_ours_at_each_start(tmp_path: Path) -> None:
    Table(tmp_path, 1000).leave()
    with sqlite3.connect(tmp_path / disk.DATABASE) as connection:
        connection.execute("UPDATE Settings SET value = 'least-recently-used' WHERE key LIKE 'ev%'")
        connection.execute("UPDATE Settings SET value = 10 WHERE key = 'cull_limit'")
        connection.execute("UPDATE Settings SET value = 1000 WHERE key LIKE '%mmap%'")
    connection.close()
    table = Table(tmp_path, 500)
    assert (table._cache.eviction_policy, table._cache.cull_limit) == ("none", 0)
    assert table._sql("PRAGMA mmap_size") == [(0,)]
    assert table._sql("PRAGMA auto_vacuum") == [(2,)]
    assert table._sql("PRAGMA journal_mode") == [("wal",)]
    assert table._sql("PRAGMA wal_autocheckpoint") == [(500,)]
    table.leave()


def set_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 77")
    connection.close()


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is not a database, not at all" * 1000)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def drop_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE Cache RENAME COLUMN mode TO mood")
    connection.close()


@pytest.mark.parametrize("damage", [set_version, overwrite, cut, drop_table])
def test_a_database_that_is_not_ours_is_damage(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    table = Table(tmp_path, 1000)
    with table.transaction():
        for number in range(100):
            table.write_record(f"{number}", b"x" * 1000)
    table.leave()
    damage(tmp_path / disk.DATABASE)

    def use() -> None:
        again = Table(tmp_path, 1000)
        try:
            for number in range(100):
                again.record(f"{number}")
        finally:
            again.leave()

    with pytest.raises((sqlite3.Error, UnknownSchema)) as caught:
        use()
    assert is_damage(caught.value)
    move_aside(tmp_path)
    assert (tmp_path / disk.DAMAGED).exists()
    fresh = Table(tmp_path, 1000)
    assert fresh.count_keys() == 0
    fresh.leave()


def drop_index(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX Cache_key_raw")
        connection.execute("CREATE INDEX Cache_key_raw ON Cache (key, raw)")
    connection.close()


@pytest.mark.parametrize("damage", [drop_table, drop_index])
def test_a_table_that_cannot_be_written_is_damage(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    Table(tmp_path, 1000).leave()
    damage(tmp_path / disk.DATABASE)
    table = Table(tmp_path, 1000)
    with pytest.raises(sqlite3.OperationalError) as caught, table.transaction():
        table.write_record(KEY, b"x")
    assert is_damage(caught.value)
    table.leave()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(sqlite3.OperationalError("database is locked"), id="busy"),
        pytest.param(OSError(2, "No such file"), id="file"),
        pytest.param(None, id="none"),
    ],
)
def test_other_errors_are_not_damage(error: BaseException | None) -> None:
    assert not is_damage(error)


def test_moving_aside_what_is_not_there(tmp_path: Path) -> None:
    move_aside(tmp_path)
    assert list(tmp_path.iterdir()) == []
