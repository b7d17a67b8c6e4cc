import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import directory, mapped
from proxy.store.directory import Directory, Span, size_for
from proxy.store.generations import Hash
from proxy.store.packs import BLOCK, Place, name_of
from tests.support.stores import KEY

HASH = Hash(b"secret")
WORDS = 1024  # of the smallest
SMALLEST = size_for(0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Directory, Directory]]:
    """As two processes have it; the other has another idea of its size."""
    ours = Directory(tmp_path / "directory", 0, HASH)
    theirs = Directory(tmp_path / "directory", 2**40, HASH)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[Directory, Directory]


def place(number: int) -> Place:
    """A place of its own for each."""
    return Place(name_of(number + 1), number * BLOCK, 20, 10_000, 300)


def span(number: int) -> Span:
    return Span(number + 1, number * BLOCK, 3 * BLOCK)


def tag_of(key: str) -> int:
    return HASH(key) >> 32 & 0xFFF


def group_of(key: str) -> int:
    return (HASH(key) & WORDS - 1) // 4


def keys() -> Iterator[str]:
    return (f"{KEY}/{number}" for number in itertools.count())


def neighbours(count: int) -> list[str]:
    """Keys of one group of slots, of which no two look alike."""
    found: dict[int, str] = {}
    for key in keys():
        if group_of(key) == group_of(KEY):
            found.setdefault(tag_of(key), key)
            if len(found) == count:
                break
    return list(found.values())


def lookalike(other: str) -> str:
    return next(
        key
        for key in keys()
        if (group_of(key), tag_of(key)) == (group_of(other), tag_of(other)) and key != other
    )


def test_what_one_puts_the_other_finds(pair: Pair) -> None:
    ours, theirs = pair
    assert theirs.find(KEY) is None
    ours.put(KEY, place(5))
    assert theirs.find(KEY) == ours.find(KEY) == span(5)
    theirs.forget(KEY)
    assert ours.find(KEY) is None


def test_a_group_of_slots_is_for_four(pair: Pair) -> None:
    ours, theirs = pair
    five = neighbours(5)
    for number, key in enumerate(five[:4]):
        ours.put(key, place(number))
    assert [theirs.find(key) for key in five] == [*map(span, range(4)), None]
    ours.put(five[4], place(4))
    found = [theirs.find(key) for key in five]
    assert found[4] == span(4)
    assert [one for one in found if one is not None] == [
        span(number) for number in range(5) if found[number] is not None
    ]
    assert found.count(None) == 1
    for key in five:
        ours.forget(key)
    assert [theirs.find(key) for key in five] == [None] * 5


@pytest.mark.parametrize("forgotten", range(4))
def test_one_of_four_is_forgotten_alone(pair: Pair, forgotten: int) -> None:
    ours, theirs = pair
    four = neighbours(4)
    for number, key in enumerate(four):
        ours.put(key, place(number))
    ours.forget(four[forgotten])
    expected = [None if number == forgotten else span(number) for number in range(4)]
    assert [theirs.find(key) for key in four] == expected


def test_keys_that_look_alike_are_found_and_forgotten_together(pair: Pair) -> None:
    ours, theirs = pair
    other = lookalike(KEY)
    ours.put(KEY, place(1))
    assert theirs.find(other) == span(1), "its record will say of which key it is"
    ours.put(other, place(2))
    assert theirs.find(KEY) in {span(1), span(2)}
    theirs.forget(KEY)
    assert (ours.find(KEY), ours.find(other)) == (None, None)


def test_a_key_whose_tag_is_nothing(pair: Pair) -> None:
    ours, theirs = pair
    key = next(key for key in keys() if not tag_of(key))
    assert theirs.find(key) is None
    ours.put(key, place(0))
    assert theirs.find(key) == span(0)
    ours.forget(key)
    assert theirs.find(key) is None


def test_no_key_is_ever_found_in_the_place_of_one_that_looks_different(pair: Pair) -> None:
    ours, theirs = pair
    chance = random.Random(1)
    last: dict[str, int] = {}
    alike: dict[tuple[int, int], set[Span]] = {}
    some = list(itertools.islice(keys(), 3000))
    for number in range(6000):
        key = chance.choice(some)
        ours.forget(key)
        seen = alike.setdefault((group_of(key), tag_of(key)), set())
        seen.clear()
        if chance.random() < 0.7:
            ours.put(key, place(number % 10_000))
            seen.add(span(number % 10_000))
            last[key] = number
    found = [(key, theirs.find(key)) for key in some]
    assert sum(one is not None for _, one in found) > WORDS // 2
    for key, one in found:
        assert one is None or one in alike[group_of(key), tag_of(key)]


@pytest.mark.parametrize(
    ("where", "known"),
    [
        pytest.param(Place("pack-ffffffff", 0, 20, 10, 1), True, id="the last pack"),
        pytest.param(Place("pack-0123456789abcdef00000001", 0, 20, 10, 1), False, id="an old name"),
        pytest.param(Place(name_of(1), 0, 20, 10), False, id="no record"),
        pytest.param(Place(name_of(1), 16383 * BLOCK, 20, 10, 1), True, id="the last block"),
        pytest.param(Place(name_of(1), 16384 * BLOCK, 20, 10, 1), False, id="too far"),
        pytest.param(Place(name_of(1), 0, 20, 63 * BLOCK - 21, 1), True, id="many blocks"),
        pytest.param(Place(name_of(1), 0, 20, 63 * BLOCK - 20, 1), False, id="too many blocks"),
    ],
)
def test_not_every_place_has_a_word(pair: Pair, where: Place, known: bool) -> None:
    ours, theirs = pair
    ours.put(KEY, where)
    found = theirs.find(KEY)
    assert (found is not None) is known
    if found is not None:
        assert (name_of(found.pack), found.start, found.size) == (where.pack, where[1], where.room)


def test_what_cannot_be_put_evicts_nothing(pair: Pair) -> None:
    ours, theirs = pair
    five = neighbours(5)
    for number, key in enumerate(five[:4]):
        ours.put(key, place(number))
    ours.put(five[4], place(4)._replace(tail=0))
    assert [theirs.find(key) for key in five] == [*map(span, range(4)), None]


@pytest.mark.parametrize("piece", [BLOCK, 5 * BLOCK, 2**20])
def test_nothing_is_found_when_all_is_forgotten(
    tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_PIECE", piece)
    opened = Directory(tmp_path / "directory", 2**25, HASH)
    opened.seal = 7
    for number, key in enumerate(itertools.islice(keys(), 20_000)):
        opened.put(key, place(number % 10_000))
    assert sum(map(bool, opened._words)) > 3000
    opened.clear()
    assert not any(opened._words)
    assert opened.seal == 7
    opened.close()


def test_words_and_seal_stay(tmp_path: Path) -> None:
    opened = Directory(tmp_path / "directory", 0, HASH)
    assert opened.seal == 0
    opened.put(KEY, place(3))
    opened.seal = 2**32 - 1
    opened.close()
    again = Directory(tmp_path / "directory", 0, HASH)
    assert (again.seal, again.find(KEY)) == (2**32 - 1, span(3))
    again.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "magic", "cut", "long", "boot"])
def test_a_wrong_file_is_made_anew(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "directory"
    opened = Directory(path, 0, HASH)
    opened.put(KEY, place(1))
    opened.close()
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "magic":
            path.write_bytes(b"X" + path.read_bytes()[1:])
        case "cut":
            os.truncate(path, SMALLEST - 8)
        case "long":
            os.truncate(path, SMALLEST + BLOCK)
        case _:
            monkeypatch.setattr(mapped, "_BOOT_ID", tmp_path / "no boot id")
    opened = Directory(path, 2**24, HASH)
    assert opened.find(KEY) is None
    status = path.stat()
    assert status.st_size == opened.size == size_for(2**24)
    assert status.st_blocks * 512 >= opened.size
    assert status.st_mode & 0o777 == 0o600
    opened.close()


@pytest.mark.parametrize("max_size", [0, 1, 2**24, 2**50])
def test_one_of_another_size_is_adopted(tmp_path: Path, max_size: int) -> None:
    first = Directory(tmp_path / "directory", 2**22, HASH)
    first.put(KEY, place(1))
    second = Directory(tmp_path / "directory", max_size, HASH)
    assert second.size == first.size
    assert second.find(KEY) == span(1)
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("max_size", "words"),
    [
        (0, 1024),
        (1, 1024),
        (2048 * BLOCK, 1024),
        (2050 * BLOCK, 2048),
        (64 * 2**20, 8192),
        (64 * 2**20 + 2 * BLOCK, 16384),
        (10 * 2**30, 2**21),
        (32 * 2**30, 2**22),
        (2**50, 2**22),
    ],
)
def test_there_is_a_word_for_two_blocks_within_bounds(max_size: int, words: int) -> None:
    assert size_for(max_size) == 4096 + 8 * words
