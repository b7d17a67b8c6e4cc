import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.store import aside, disk, folder
from proxy.store.folder import Folder, UnsafeFolder
from proxy.store.generations import Generations
from proxy.store.packs import Entry, Place, name_of
from proxy.store.rawdisk import SpooledBody
from tests.support.stores import KEY, body_files, options


def end(*folders: Folder) -> None:
    for opened in folders:
        opened.table.leave()
        opened.close()


def test_made_private_with_its_parents(tmp_path: Path) -> None:
    opened = Folder(options(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    end(opened)


def test_what_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    opened = Folder(options(tmp_path))
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    end(opened)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_refused_when_others_can_write_to_it(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UnsafeFolder, match="chmod 700"):
        Folder(options(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_refused_when_it_belongs_to_another(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UnsafeFolder, match="another user"):
        Folder(options(tmp_path))


def test_a_damaged_database_is_moved_aside_in_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / disk.DATABASE).write_bytes(b"garbage" * 10_000)
    with caplog.at_level(logging.INFO):
        opened = Folder(options(tmp_path))
    (line,) = caplog.messages
    assert "moved to cache.db.damaged" in line
    assert (tmp_path / disk.DAMAGED).read_bytes() == b"garbage" * 10_000
    assert opened.table.count_keys() == 0
    assert opened.limit < options(tmp_path).max_size - 70_000
    end(opened)


@pytest.mark.parametrize("why", ["large", "old"])
def test_a_database_moved_aside_goes_when_it_is_large_or_old(
    tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 20 * 2**20 if why == "large" else 100
    (tmp_path / disk.DAMAGED).write_bytes(b"x" * size)
    if why == "old":
        monkeypatch.setattr(aside, "_KEEP", -1.0)
    opened = Folder(options(tmp_path))
    assert not (tmp_path / disk.DAMAGED).exists()
    end(opened)


def test_one_replaces_the_database_and_the_other_follows(tmp_path: Path) -> None:
    one, two = Folder(options(tmp_path)), Folder(options(tmp_path))
    for opened in (one, two):
        with opened.table.transaction():
            opened.table.write_record("k", b"x")
    one.replace_database(OSError("damaged"))
    with one.table.transaction():
        one.table.write_record("new", b"x")
    two.follow()
    assert (two.table.record("k"), two.table.record("new")) == (None, b"x")
    two.follow()
    two.replace_database(OSError("damaged"))  # again, and this time it is the first to notice
    one.replace_database(OSError("damaged"))  # its table is the old one: it only follows
    assert one.table.record("new") is None
    assert one.epoch == two.epoch
    end(one, two)


def test_what_no_row_names_is_taken_out_of_a_pack(tmp_path: Path) -> None:
    opened = Folder(options(tmp_path))
    assert opened.packs is not None, "this file system has holes"
    bodies = [Entry(f"body-{n}", b"x" * 10_000, b"record") for n in range(9)]
    places = opened.packs.write(bodies)
    with opened.table.transaction():
        for body, place in list(zip(bodies, places, strict=True))[3:]:
            opened.table.write_body("k", body.id, place)
    pack = places[0].pack
    assert not opened.table.is_orphan(pack), "it is being written"
    opened.packs.close()
    assert opened.table.is_orphan(pack)
    with opened.table.transaction():
        opened.remove_orphans([pack])
    (path,) = body_files(tmp_path)
    assert path.stat().st_blocks * 512 == 6 * 12288
    assert not opened.table.is_orphan(pack)
    assert opened.table.inline_body("body-3") == b"x" * 10_000
    with opened.table.transaction():
        opened.table.delete_bodies([body.id for body in bodies])
    assert body_files(tmp_path) == []
    assert opened.table.usage().files == 0
    assert not opened.table.is_orphan(pack), "another process has removed it"
    end(opened)


def test_only_files_without_a_row_are_orphans(tmp_path: Path) -> None:
    opened = Folder(options(tmp_path))
    path = tmp_path / "spooled"
    path.write_bytes(b"x" * 50_000)
    with opened.table.transaction():
        opened.table.write_body("k", "body-a", SpooledBody(str(path), 50_000, 0))
    (tmp_path / "bodies" / "zz").mkdir()
    (tmp_path / "bodies" / "zz" / "body-zz").write_bytes(b"orphan")
    with opened.table.transaction():
        opened.remove_orphans(["body-a", "body-zz", "body-unknown"])
    assert [file.name for file in body_files(tmp_path)] == ["body-a"]
    end(opened)


PLACE = Place(name_of(1), 0, 10, 5000, 300)


def knowing(path: Path) -> Folder:
    """An open folder whose directory knows a key."""
    opened = Folder(options(path))
    with opened.table.transaction():
        opened.table.write_record(KEY, b"record")
        opened.directory.put(KEY, PLACE)
    assert opened.directory.find(KEY) is not None
    return opened


def change_unseen(path: Path) -> None:
    """As one does that knows nothing of the directory."""
    stamps = Generations(path / "generations", anything_stored=True)
    stamps.settled(KEY)
    stamps.close()


def leave_mark(path: Path) -> None:
    (path / "spool" / "0" / "lock").write_bytes(b"1")  # as if it had been killed


def copy_database(path: Path) -> None:
    (path / "copy").write_bytes((path / disk.DATABASE).read_bytes())
    (path / "copy").replace(path / disk.DATABASE)


def remove_database(path: Path) -> None:
    for file in path.glob(f"{disk.DATABASE}*"):
        file.unlink()


def empty_database(path: Path) -> None:
    """As a new one that got the inode of the old."""
    for suffix in ("-wal", "-shm"):
        (path / (disk.DATABASE + suffix)).unlink(missing_ok=True)
    os.truncate(path / disk.DATABASE, 0)


def damage_database(path: Path) -> None:
    (path / disk.DATABASE).write_bytes(b"not a database" * 1000)


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (nothing, True),
        (change_unseen, False),
        (leave_mark, False),
        (copy_database, False),
        (remove_database, False),
        (empty_database, False),
        (damage_database, False),
    ],
)
def test_whether_the_directory_is_believed_after_a_restart(
    tmp_path: Path, change: Callable[[Path], None], kept: bool
) -> None:
    end(knowing(tmp_path))
    change(tmp_path)
    opened = Folder(options(tmp_path))
    assert (opened.directory.find(KEY) is not None) is kept
    end(opened)


@pytest.mark.parametrize("killed", [False, True])
def test_whether_the_directory_of_another_is_believed(tmp_path: Path, killed: bool) -> None:
    one = knowing(tmp_path)
    two = Folder(options(tmp_path))
    end(two)
    if killed:
        (tmp_path / "spool" / "1" / "lock").write_bytes(b"1")
    one.generations.settled(KEY)  # no process writes its seal but at its end
    three = Folder(options(tmp_path))
    assert (three.directory.find(KEY) is None) is killed
    assert (one.directory.find(KEY) is None) is killed
    end(one, three)
    (four := knowing(tmp_path)).spools.search_due = True
    end(four)
    five = Folder(options(tmp_path))
    assert five.directory.find(KEY) is None, "nobody has searched after the kill"
    end(five)


def test_who_closes_last_writes_the_seal(tmp_path: Path) -> None:
    one, two = knowing(tmp_path), Folder(options(tmp_path))
    end(one)
    two.generations.settled(KEY)
    end(two)
    three = Folder(options(tmp_path))
    assert three.directory.find(KEY) is not None
    end(three)


def test_a_change_empties_the_word_of_its_key(tmp_path: Path) -> None:
    one, two = knowing(tmp_path), Folder(options(tmp_path))
    two.changing(KEY)
    assert one.generations.generation(KEY) & 1
    assert one.directory.find(KEY) is None
    end(one, two)


def test_a_new_database_has_an_empty_directory(tmp_path: Path) -> None:
    one, two = knowing(tmp_path), Folder(options(tmp_path))
    two.replace_database(OSError("damaged"))
    assert one.directory.find(KEY) is None
    one.directory.put(KEY, PLACE)  # within a transaction on the old one
    one.replace_database(OSError("damaged"))  # another has done so: it only follows
    assert two.directory.find(KEY) is None
    end(one, two)


def test_a_folder_whose_database_is_gone_is_closed(tmp_path: Path) -> None:
    opened = knowing(tmp_path)
    opened.table.leave()
    remove_database(tmp_path)
    opened.close()
    again = Folder(options(tmp_path))
    assert not again.spools.search_due, "nobody was killed"
    assert again.directory.find(KEY) is None
    end(again)


def test_what_is_fixed_is_the_same_for_whoever_only_looks(tmp_path: Path) -> None:
    opened = Folder(options(tmp_path))
    assert folder.fixed(tmp_path) == opened.fixed
    assert (tmp_path / folder.DIRECTORY).stat().st_size == opened.directory.size
    end(opened)


@pytest.mark.parametrize("ours", [True, False], ids=["replaced by us", "found when following"])
def test_what_a_damaged_database_named_is_searched_for(tmp_path: Path, ours: bool) -> None:
    opened = Folder(options(tmp_path))
    before = opened.spools.search_due
    if ours:
        opened.replace_database(OSError("damaged"))
    else:
        opened.generations.next_epoch()  # another has replaced it, by one that is damaged, too
        opened.table.leave()
        (tmp_path / disk.DATABASE).write_bytes(b"not a database" * 1000)
        opened.follow()
    assert (before, opened.spools.search_due) == (False, True)
    end(opened)
