import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.store import packs
from proxy.store.bodies import body_path
from proxy.store.packs import (
    BLOCK,
    Packs,
    Place,
    parse_place,
    punch,
    read,
    read_named,
    unnamed,
    usable,
)

BODIES = [("body-aa", b"a" * 10_000), ("body-bb", b"b" * 4090), ("body-cc", b"c" * 2049)]


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool" / "0"


@pytest.fixture
def writing(tmp_path: Path, spooled: Path) -> Iterator[Packs]:
    if not usable(str(spooled)):
        pytest.skip("files have no holes here")
    opened = Packs(tmp_path, lambda: str(spooled))
    yield opened
    opened.close()


def path_of(folder: Path, place: Place) -> Path:
    return Path(body_path(folder, place.pack))


def octets_on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def find(folder: Path, place: Place, *named: Place) -> list[Place] | None:
    return unnamed(folder, place.pack, lambda _: named)


def test_bodies_are_where_their_places_say(writing: Packs, tmp_path: Path, spooled: Path) -> None:
    first, second = writing.write(BODIES), writing.write(BODIES[:1])
    for (_, body), place in zip([*BODIES, BODIES[0]], [*first, *second], strict=True):
        assert read(tmp_path, place) == body
        assert place.start % BLOCK == 0
        assert parse_place(str(place)) == place
    assert {place.pack for place in first} == {place.pack for place in second}
    assert not spooled.exists()
    taken = sum(place.room for place in [*first, *second])
    assert taken == octets_on_disk(path_of(tmp_path, first[0])) == 9 * BLOCK


def test_what_is_removed_is_a_hole(writing: Packs, tmp_path: Path) -> None:
    places, others = writing.write(BODIES), writing.write(BODIES)
    path, whole = path_of(tmp_path, places[0]), octets_on_disk(path_of(tmp_path, places[0]))
    punch(tmp_path, places[0].pack, places[:2])
    assert octets_on_disk(path) == whole - 5 * BLOCK
    assert read(tmp_path, places[1]) == bytes(4090)
    assert read(tmp_path, places[2]) == BODIES[2][1]
    punch(tmp_path, places[0].pack, places[2:])
    assert octets_on_disk(path) == whole // 2
    assert [read(tmp_path, place) for place in others] == [body for _, body in BODIES]


@pytest.mark.parametrize(
    ("id_", "other", "found"),
    [
        pytest.param("body-bb", {}, True, id="it"),
        pytest.param("body-aa", {}, False, id="another body"),
        pytest.param("body-bb", {"start": 0}, False, id="another place"),
        pytest.param("body-bb", {"length": 4089}, False, id="another length"),
        pytest.param("body-bb", {"pack": "pack-00"}, False, id="a pack that is gone"),
        pytest.param("body-bb", {"pack": "../pack-00"}, False, id="no pack at all"),
    ],
)
def test_only_what_has_the_name_is_read(
    writing: Packs, tmp_path: Path, id_: str, other: dict[str, Any], found: bool
) -> None:
    written = writing.write(BODIES)[1]
    (tmp_path / "00").mkdir()
    (tmp_path / "pack-00").write_bytes(path_of(tmp_path, written).read_bytes())
    place = written._replace(**other)
    assert read_named(tmp_path, place, id_) == (BODIES[1][1] if found else None)


def test_a_hole_has_no_name(writing: Packs, tmp_path: Path) -> None:
    place = writing.write(BODIES)[1]
    punch(tmp_path, place.pack, [place])
    assert read_named(tmp_path, place, "body-bb") is None


@pytest.mark.parametrize("last", ["punch", "close"])
def test_an_empty_pack_goes_when_nobody_writes_to_it(
    writing: Packs, tmp_path: Path, last: str
) -> None:
    places = writing.write(BODIES)
    path = path_of(tmp_path, places[0])
    if last == "punch":
        writing.close()
        assert path.exists()
        punch(tmp_path, places[0].pack, places)
    else:
        punch(tmp_path, places[0].pack, places)
        assert path.exists()
        writing.close()
    assert not path.exists()
    assert read(tmp_path, places[0]) is None
    punch(tmp_path, places[0].pack, places)  # by another process as well


def test_what_is_undone_leaves_no_octets(writing: Packs, tmp_path: Path) -> None:
    kept, undone = writing.write(BODIES), writing.write(BODIES)
    path, whole = path_of(tmp_path, kept[0]), octets_on_disk(path_of(tmp_path, kept[0]))
    writing.undo()
    assert octets_on_disk(path) == whole // 2
    assert writing.write(BODIES) == undone


def test_a_full_disk_leaves_no_octets(
    writing: Packs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = writing.write(BODIES)
    path, whole = path_of(tmp_path, kept[0]), octets_on_disk(path_of(tmp_path, kept[0]))
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, pieces, at: pwritev(file, pieces[:3], at))
    with pytest.raises(OSError, match="No space left"):
        writing.write(BODIES)
    assert octets_on_disk(path) == whole
    monkeypatch.undo()
    assert read(tmp_path, writing.write(BODIES)[0]) == BODIES[0][1]


def test_a_long_pack_is_followed_by_another(
    writing: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_ENOUGH", 5 * BLOCK)
    names = [writing.write(BODIES)[0].pack for _ in range(2)]
    assert names[0] != names[1]


def test_only_what_no_row_names_is_found(writing: Packs, tmp_path: Path) -> None:
    places, others = writing.write(BODIES), writing.write(BODIES)
    assert find(tmp_path, places[0]) is None  # being written
    writing.close()
    assert find(tmp_path, places[0], *places, *others) is None
    assert find(tmp_path, places[0], *places, others[1]) == [others[0], others[2]]
    punch(tmp_path, places[0].pack, others[:1])
    assert find(tmp_path, places[0], *places, others[1]) == [others[2]]
    punch(tmp_path, places[0].pack, places)
    assert find(tmp_path, places[0], *others) is None
    assert find(tmp_path, places[0]._replace(pack="pack-00")) is None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"\0", id="nothing"),
        pytest.param(b"\xff", id="too long"),
        pytest.param(b"\x01\x90", id="no id"),
        pytest.param(b"\x05\x92\xa2aa\x00", id="an empty body"),
        pytest.param(b"\x0d\x92\xa2aa\xcf" + b"\xff" * 8, id="an enormous body"),
    ],
)
def test_what_follows_a_damaged_id_is_dead(writing: Packs, tmp_path: Path, damage: bytes) -> None:
    places, others = writing.write(BODIES), writing.write(BODIES)
    writing.close()
    path = path_of(tmp_path, places[0])
    with path.open("r+b") as file:
        file.seek(others[0].start)
        file.write(damage.ljust(BLOCK, b"\0"))
    found = find(tmp_path, places[0], *places)
    assert found is not None
    assert [(place.start, place.length) for place in found] == [
        (others[0].start, path.stat().st_size - others[0].start)
    ]
    punch(tmp_path, places[0].pack, found)
    assert find(tmp_path, places[0], *places) is None
    punch(tmp_path, places[0].pack, places)
    assert not path.exists()


@pytest.mark.parametrize("left", [0, 2, 100, BLOCK, BLOCK + 5000, 4 * BLOCK, 5 * BLOCK + 1])
def test_what_a_kill_cut_short_goes(writing: Packs, tmp_path: Path, left: int) -> None:
    places = writing.write(BODIES)
    writing.close()
    path = path_of(tmp_path, places[0])
    os.truncate(path, left)
    found = find(tmp_path, places[0])
    assert found is not None
    punch(tmp_path, places[0].pack, found)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"pack-00 0 10 12288",
        "pack-00 0 10",
        "pack-00 0 10 12288 ",
        "../k-00 0 10 12288",
        "pack-../00 0 10 12288",
        "pack-00 0 -1 12288",
        "pack-00 0 10 9999999999",
    ],
)
def test_nothing_else_is_a_place(text: object) -> None:
    assert parse_place(text) is None


@pytest.mark.parametrize("lacks", ["fallocate", "holes"])
def test_not_usable_without(spooled: Path, lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if lacks == "fallocate":
        monkeypatch.setattr(packs, "_fallocate", None)
    else:
        monkeypatch.setattr(os, "lseek", lambda *_: 0)
    assert not usable(str(spooled))
    assert not spooled.exists()


def test_the_lock_is_given_up_by_a_sweep(writing: Packs, tmp_path: Path) -> None:
    places = writing.write(BODIES)
    writing.close()
    find(tmp_path, places[0], *places)
    with path_of(tmp_path, places[0]).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
