import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from proxy.store import packs
from proxy.store.bodies import body_path
from proxy.store.packs import (
    BLOCK,
    Entry,
    Packs,
    Place,
    entry,
    name_of,
    number_of,
    parse_place,
    punch,
    read,
    read_entry,
    unnamed,
    usable,
)

BODIES = [
    Entry("body-aa", b"a" * 10_000, b"record of a"),
    Entry("body-bb", b"b" * 4090, b"record of b"),
    Entry("body-cc", b"c" * 2000, b"record of c" * 3),
]


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
    for written, place in zip([*BODIES, BODIES[0]], [*first, *second], strict=True):
        assert read(tmp_path, place) == written.body
        assert read_entry(tmp_path, place) == written
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
    assert read(tmp_path, places[2]) == BODIES[2].body
    punch(tmp_path, places[0].pack, places[2:])
    assert octets_on_disk(path) == whole // 2
    assert [read(tmp_path, place) for place in others] == [written.body for written in BODIES]


def written(id_: object, *lengths: int) -> bytes:
    """What is in a place, with a head of these."""
    head = msgspec.msgpack.encode((id_, *lengths))
    return bytes((len(head),)) + head + b"body" + b"record"


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        pytest.param(written("id", 4, 6), Entry("id", b"body", b"record"), id="it"),
        pytest.param(
            written("id", 4, 6) + bytes(99), Entry("id", b"body", b"record"), id="with padding"
        ),
        pytest.param(written("id", 4, 0), Entry("id", b"body", b""), id="without a record"),
        pytest.param(written("id", 4), Entry("id", b"body", b""), id="of an older version"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(bytes(BLOCK), None, id="a hole"),
        pytest.param(written("id", 4, 6)[:3], None, id="cut within the head"),
        pytest.param(written("id", 4, 6)[:-7], None, id="cut within the body"),
        pytest.param(written("id", 4, 6)[:-1], None, id="cut within the record"),
        pytest.param(written("id", 5, 6), None, id="a body that is too long"),
        pytest.param(written("id", 4, 7), None, id="a record that is too long"),
        pytest.param(written("id", 0, 6), None, id="an empty body"),
        pytest.param(written("id", 4, -1), None, id="a length below nothing"),
        pytest.param(written(7, 4, 6), None, id="an id that is none"),
        pytest.param(b"\xff" * 300, None, id="garbage"),
        pytest.param(
            b"\x06" + b"\x93\xa2\xe9d\x04\x06" + bytes(9), None, id="an id that is no text"
        ),
    ],
)
def test_an_entry_is_whole_or_none(octets: bytes, found: Entry | None) -> None:
    assert entry(octets) == found


@pytest.mark.parametrize("position", range(15))
def test_no_flipped_bit_of_a_head_is_an_error(
    writing: Packs, tmp_path: Path, position: int
) -> None:
    place = writing.write(BODIES)[1]
    octets = path_of(tmp_path, place).read_bytes()[place.start : place.end]
    for bit in range(8):
        flipped = bytearray(octets)
        flipped[position] ^= 1 << bit
        found = entry(bytes(flipped))
        assert found is None or found != BODIES[1]


def test_a_record_takes_room_of_its_own(writing: Packs, tmp_path: Path) -> None:
    bodies = [Entry(f"body-{n}", b"x" * 4000, b"record" * 50) for n in range(3)]
    places = writing.write(bodies)
    assert [place.start for place in places] == [0, 2 * BLOCK, 4 * BLOCK]
    assert [read_entry(tmp_path, place) for place in places] == bodies


def hole(folder: Path, place: Place) -> None:
    punch(folder, place.pack, [place])


def gone(folder: Path, place: Place) -> None:
    path_of(folder, place).unlink()


def cut(folder: Path, place: Place) -> None:
    os.truncate(path_of(folder, place), place.start + sum(place[2:]) - 1)


@pytest.mark.parametrize("lose", [hole, gone, cut])
def test_an_entry_that_is_gone(
    writing: Packs, tmp_path: Path, lose: Callable[[Path, Place], None]
) -> None:
    place = writing.write(BODIES)[1]
    assert read_entry(tmp_path, place) == BODIES[1]
    lose(tmp_path, place)
    assert read_entry(tmp_path, place) is None


@pytest.mark.parametrize("number", [1, 0x2A, 2**32 - 1])
def test_names_are_numbers(number: int) -> None:
    assert number_of(name_of(number)) == number


def test_a_new_pack_has_a_number_and_none_that_is_taken(
    writing: Packs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([7, 7, 7, 0, 7, 8])
    monkeypatch.setattr(secrets, "randbits", lambda _: next(drawn))
    names = []
    for _ in range(3):
        names.append(writing.write(BODIES)[0].pack)
        writing.close()
    assert [number_of(name) for name in names] == [7, 1, 8]


def test_the_name_of_an_older_version_has_no_number() -> None:
    assert number_of("pack-0123456789abcdef00000001") is None


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
    assert read(tmp_path, writing.write(BODIES)[0]) == BODIES[0].body


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
        pytest.param(b"\x05\x92\xa2\xe9a\x01", id="an id that is no text"),
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


@pytest.mark.parametrize("text", ["pack-00 0 10 12288", "pack-00 0 10 12288 0"])
def test_a_place_without_a_record(text: str) -> None:
    assert parse_place(text) == Place("pack-00", 0, 10, 12288, 0)


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
        "pack-00 0 10 12288 -1",
        "pack-00 0 10 12288 9999999999",
        "pack-00 0 10 12288 0 0",
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
