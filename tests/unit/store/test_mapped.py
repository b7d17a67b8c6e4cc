import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.store import mapped

MAGIC = b"something 1\n"
SIZE = 3 * 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with zeros behind its beginning."""
    create(tmp_path / "shared")
    return tmp_path / "shared"


def create(path: Path) -> None:
    with mapped.created(path, MAGIC) as file:
        mapped.fill(file, SIZE)


def test_what_one_writes_the_other_reads(path: Path) -> None:
    ours, theirs = mapped.open_map(path), mapped.open_map(path)
    ours[SIZE - 5 :] = b"hello"
    assert theirs[SIZE - 5 :] == b"hello"
    assert mapped.size(path, MAGIC) == len(ours) == SIZE
    ours.close()
    theirs.close()


def test_it_is_private_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "shared")
    finally:
        os.umask(before)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o600


def garble(path: Path) -> None:
    path.write_bytes(b"x" * SIZE)


def cut(path: Path) -> None:
    os.truncate(path, len(MAGIC) + 1)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, garble, cut, replace_by_folder])
def test_what_is_none_of_ours_has_no_size(path: Path, damage: Callable[[Path], None]) -> None:
    assert mapped.size(path, MAGIC) == SIZE
    assert mapped.size(path, b"something 2\n") == 0
    damage(path)
    assert mapped.size(path, MAGIC) == 0


@pytest.mark.parametrize("boot", [b"another\n", None], ids=["another", "unknown"])
def test_one_of_another_boot_is_none(
    path: Path, boot: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_BOOT_ID", path.parent / "boot")
    if boot is not None:
        (path.parent / "boot").write_bytes(boot)
    assert mapped.size(path, MAGIC) == 0
    create(path)
    assert mapped.size(path, MAGIC) == SIZE


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "written out"])
def test_all_blocks_are_taken(
    tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    create(tmp_path / "shared")
    octets = (tmp_path / "shared").read_bytes()
    assert len(octets) == SIZE
    assert octets.startswith(MAGIC)
    assert octets[4096:] == bytes(SIZE - 4096)
    assert (tmp_path / "shared").stat().st_blocks * 512 >= SIZE


def test_one_that_is_mapped_stays_as_it_was_when_a_new_one_comes(path: Path) -> None:
    old = mapped.open_map(path)
    old[-1:] = b"x"
    create(path)
    new = mapped.open_map(path)
    assert (old[-1:], new[-1:]) == (b"x", b"\0")
    old.close()
    new.close()


def test_one_that_was_broken_off_is_not_put_in_place(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(OSError, match="full"), mapped.created(path, MAGIC):
        raise OSError("full")
    assert path.read_bytes() == before
    create(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["shared"]
