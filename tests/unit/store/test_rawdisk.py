import os
from pathlib import Path

import pytest

from proxy.store.rawdisk import BODIES, RawDisk, RefusedRow, SpooledBody
from tests.support.stores import body_files


@pytest.fixture
def raw(tmp_path: Path) -> RawDisk:
    return RawDisk(str(tmp_path))


def spooled(folder: Path, body: bytes = b"x" * 5000) -> SpooledBody:
    path = folder / "spooled"
    path.write_bytes(body)
    return SpooledBody(str(path), len(body), 0)


@pytest.mark.parametrize("key", [1, 1.5, b"octets", None, ("a",)])
def test_keys_are_text(raw: RawDisk, key: object) -> None:
    assert raw.put("text") == ("text", True)
    assert raw.get("text", 1) == "text"
    with pytest.raises(TypeError):
        raw.put(key)
    with pytest.raises(RefusedRow):
        raw.get(key, 1)


def test_a_key_that_was_pickled_is_refused(raw: RawDisk) -> None:
    with pytest.raises(RefusedRow):
        raw.get("text", 0)


@pytest.mark.parametrize("value", [b"octets", "text", 1, None, Path("/x")])
def test_values_are_spooled_bodies(raw: RawDisk, value: object) -> None:
    with pytest.raises(TypeError):
        raw.store(value, False, "bbody-a")


@pytest.mark.parametrize("mode", range(5))
def test_no_value_is_read(raw: RawDisk, mode: int) -> None:
    with pytest.raises(RefusedRow):
        raw.fetch(mode, "bodies/aa/aa", b"octets", False)


def test_a_file_is_adopted_and_given_back(raw: RawDisk, tmp_path: Path) -> None:
    body = spooled(tmp_path)
    size, _, name, value = raw.store(body, False, "bbody-aa")
    assert (name, value) == (f"{BODIES}/aa/body-aa", None)
    assert size == max(5000, (tmp_path / name).stat().st_blocks * 512)
    raw.undo()
    assert os.path.exists(body.path)  # noqa: PTH110
    assert body_files(tmp_path) == []


def test_what_is_removed_goes_at_the_end(raw: RawDisk, tmp_path: Path) -> None:
    *_, name, _ = raw.store(spooled(tmp_path), False, "bbody-aa")
    raw.finish()
    raw.remove(name)
    assert len(body_files(tmp_path)) == 1
    raw.undo()
    raw.finish()
    assert len(body_files(tmp_path)) == 1
    raw.remove(name)
    raw.finish()
    assert body_files(tmp_path) == []


@pytest.mark.parametrize("name", ["../secret", "secret", "bodies/../secret", "bodies/aa/../../x"])
def test_no_other_file_is_removed(raw: RawDisk, tmp_path: Path, name: str) -> None:
    secret = tmp_path / name
    raw.remove(name)
    assert raw.doomed == []
    assert not secret.exists()
