"""A flipped bit in the shared words of a folder: nothing is emptied, nothing stops for good."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.store import generations, mapped, sealed
from proxy.store.generations import SIZE, Generations, is_settled
from tests.support.stores import KEY, SMALLEST, bodies_of, opened, packed, put

HEADER = 4096
OTHER = "http://b.example/other"
MIDDLE = HEADER + 8 * generations.SLOTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generations"


@pytest.fixture
def running(path: Path) -> Iterator[Generations]:
    """With something of everything in it."""
    made = Generations(path, anything_stored=False)
    made.storing(KEY)
    made.settled(KEY)
    made.removing(KEY)
    made.next_epoch()
    made.hand = 1234
    made.set_in_flight(3, 5_000_000)
    yield made
    made.close()


def flip(path: Path, bit: int) -> None:
    """As it looks to whoever has it mapped."""
    with path.open("r+b", buffering=0) as file:
        octet = os.pread(file.fileno(), 1, bit // 8)[0]
        os.pwrite(file.fileno(), bytes((octet ^ 1 << bit % 8,)), bit // 8)


def seen(of: Generations) -> tuple[object, ...]:
    return of.hashed(KEY), of.epoch, of.maybe_stored(KEY), of.maybe_stored(OTHER)


def test_any_bit_of_the_header_while_it_is_mapped(path: Path, running: Generations) -> None:
    before, header = seen(running), path.read_bytes()[:HEADER]
    for bit in range(8 * HEADER):
        flip(path, bit)
        assert seen(running) == before
        assert running.hand in {1234, 0}
        assert running.in_flight() in {5_000_000, 0}
        running.mend()
        octets = running._map[bit // 8 // 8 * 8 :][:8]
        if bit // 64 not in range(17, 96) and bit // 8 < 2176 and bit // 8 not in range(768, 2048):
            assert octets == header[bit // 8 // 8 * 8 :][:8], "it is mended"
        else:
            flip(path, bit)


def test_any_bit_of_the_header_before_a_start(path: Path, running: Generations) -> None:
    before = seen(running)
    birth = generations.read(path)
    assert birth is not None
    used = [*range(8 * 768), *range(8 * 2048, 8 * 2176)]
    for bit in used[::7] + used[:1100:3]:
        flip(path, bit)
        again = Generations(path, anything_stored=True)
        assert seen(again)[0] == before[0]
        assert seen(again)[2:] == before[2:]
        assert again.in_flight() in {5_000_000, 0}
        read = generations.read(path)
        assert read is not None
        assert read.birth == birth.birth
        again.close()
        running.mend()
        running.hand = 1234
        running.set_in_flight(3, 5_000_000)


@pytest.mark.parametrize("number", [0, 1, 4096, 10**9, 2**47, 2**48 - 1])
def test_a_number_is_known_from_any_with_a_flipped_bit(number: int) -> None:
    word = sealed.seal(number)
    assert sealed.opened(word) == number
    assert all(sealed.opened(word ^ 1 << bit) is None for bit in range(64))


def test_every_bit_of_a_number_counts() -> None:
    for place in range(sealed.BITS):
        assert sealed.seal(1 << place) & 0xFFFF != 0


def test_no_bit_of_a_mark_hides_what_is_stored(path: Path, running: Generations) -> None:
    mark = 8 * (SIZE - 2**20 + (running.hashed(KEY) & 2**20 - 1))
    for touched in (False, True):
        if touched:
            running.touch(KEY)
        for bit in range(8):
            flip(path, mark + bit)
            assert running.maybe_stored(KEY)
            flip(path, mark + bit)
    assert running.passed(KEY)


def test_a_page_of_zeros_hides_nothing_either(path: Path, running: Generations) -> None:
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(bytes(SIZE - HEADER))
    assert running.maybe_stored(KEY)
    assert not is_settled(running.generation(KEY)), "what is read now is not kept"


def test_what_was_left_odd_is_settled_at_a_start(path: Path, running: Generations) -> None:
    running.changing(KEY)
    running.settle_all()
    assert is_settled(running.generation(KEY))
    assert is_settled(running.generation(OTHER))


def test_nothing_is_believed_when_the_whole_header_is_gone(
    path: Path, running: Generations, caplog: pytest.LogCaptureFixture
) -> None:
    before, stamp, removals = seen(running), running.generation(KEY), running.removals(KEY)
    with path.open("r+b") as file:
        file.write(bytes(HEADER))
    running.mend()
    running.mend()
    assert running.hashed(KEY) == before[0]
    assert seen(running)[2:] == (True, True)
    assert running.generation(KEY) != stamp
    assert running.removals(KEY) != removals
    assert len(caplog.messages) == 1


def test_whoever_has_the_old_one_is_told_of_a_new_one(path: Path, running: Generations) -> None:
    """One is started that can read neither of the plates: it makes a file of its own."""
    epoch, stamp = running.epoch, running.generation(KEY)
    for place in (0, 2048):
        flip(path, 8 * place)
    new = Generations(path, anything_stored=True)
    assert running.epoch != epoch
    assert running.generation(KEY) != stamp
    replaced = [running.is_replaced]
    running.reopen()
    replaced.append(running.is_replaced)
    assert replaced == [True, False]
    new.settled(KEY)
    assert running.hashed(KEY) == new.hashed(KEY)
    assert running.generation(KEY) == new.generation(KEY)
    new.close()


def test_the_secret_outlives_a_boot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Generations(path, anything_stored=True)
    hashed = first.hashed(KEY)
    first.close()
    monkeypatch.setattr(mapped, "beginning", lambda magic: magic + b"another boot")
    assert generations.read(path) is None
    second = Generations(path, anything_stored=True)
    assert second.hashed(KEY) == hashed
    assert generations.read(path) is not None
    second.close()


Spoil = Callable[[random.Random], int]
PLACES: dict[str, Spoil] = {
    "plates": lambda chance: 8 * chance.choice((0, 2048)) + chance.randrange(1024),
    "epoch": lambda chance: 8 * 128 + chance.randrange(64),
    "hand": lambda chance: 8 * 136 + chance.randrange(64),
    "in flight": lambda chance: 8 * 256 + chance.randrange(64 * 64),
    "stamps": lambda chance: 8 * HEADER + chance.randrange(64 * generations.SLOTS),
    "removals": lambda chance: 8 * MIDDLE + chance.randrange(64 * 2**17),
    "marks": lambda chance: 8 * (SIZE - 2**20) + chance.randrange(8 * 2**20),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stopped", [True, False], ids=["before a start", "while it runs"])
async def test_storing_and_hits_go_on(tmp_path: Path, place: str, stopped: bool) -> None:
    """And nothing that was stored is gone, as there is room for all of it."""
    chance, file = random.Random(place), tmp_path / "generations"
    async with opened(tmp_path, size=SMALLEST) as store:
        bodies = await packed(store)
        if not stopped:
            for number in range(20):
                flip(file, PLACES[place](chance))
                await put(store, KEY, f"new{number}", b"new")
                assert await bodies_of(store, KEY) == [b"new"]
                assert store._writer.keys == len(bodies) + 1
                for key in list(bodies)[number::13]:
                    assert await bodies_of(store, key) == [bodies[key]]
    for number in range(8 * stopped):
        flip(file, PLACES[place](chance))
        async with opened(tmp_path, size=SMALLEST) as store:
            await put(store, KEY, f"then{number}", b"new")
            assert await bodies_of(store, KEY) == [b"new"]
            for key in list(bodies)[number::7]:
                assert await bodies_of(store, key) == [bodies[key]]


async def test_what_a_killed_process_left_under_way_is_kept_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, KEY, "a", b"A" * 1000)
        store._generations.changing(KEY)  # and no more, as its process was killed
        store._memory.clear()
        assert await bodies_of(store, KEY) == [b"A" * 1000]
        assert store.peek(KEY) is None
        for _ in range(2):
            await put(store, f"{KEY}/other", "b", b"B")  # by when the other is settled
            await store.lookup(KEY)
        assert store.peek(KEY) is not None
