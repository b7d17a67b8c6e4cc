"""A folder with something of every kind in it, and what can befall that while nobody looks."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from typing import TYPE_CHECKING, Final

from proxy.store.disk import DATABASE
from tests.support.stores import KEY, body_files, opened, put, put_spooled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKED: Final = [f"packed{letter}" for letter in "abcdefghijklmnop"]
SIZES: Final = {"row": 1_000, "file": 100_000, "large": 1_500_000} | dict.fromkeys(PACKED, 5_000)
OCTETS: Final = sum(SIZES.values())
KEYS: Final = {name: f"{KEY}/{name}" for name in SIZES}


def body(name: str) -> bytes:
    return random.Random(name).randbytes(SIZES[name])


async def fill(folder: Path) -> None:
    """A row, two files, and a pack."""
    async with opened(folder) as store:
        await put(store, KEYS["row"], "row", body("row"))
        for name in ("file", "large"):
            await put_spooled(store, KEYS[name], name, body(name))
        await asyncio.gather(*(put(store, KEYS[name], name, body(name)) for name in PACKED))
    assert len(packs(folder)) == 1


def packs(folder: Path) -> list[Path]:
    return [path for path in body_files(folder) if path.name.startswith("pack-")]


def sql(folder: Path, statement: str, *parameters: object) -> None:
    with sqlite3.connect(folder / DATABASE) as connection:
        assert connection.execute(statement, parameters).rowcount != 0
    connection.close()


def value(folder: Path, row: str) -> bytes:
    with sqlite3.connect(folder / DATABASE) as connection:
        ((octets,),) = connection.execute("SELECT value FROM Cache WHERE key = ?", (row,))
    connection.close()
    assert isinstance(octets, bytes)
    return octets


def flip(octets: bytes, position: int = 30) -> bytes:
    changed = bytearray(octets)
    changed[position] ^= 0x10
    return bytes(changed)


def zero_root(folder: Path, name: str) -> None:
    """The first page of that table or index, in the database itself."""
    with sqlite3.connect(folder / DATABASE) as connection:
        ((page,),) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)
        )
    connection.close()
    with (folder / DATABASE).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def _set(folder: Path, row: str, octets: bytes) -> None:
    sql(folder, "UPDATE Cache SET value = ? WHERE key = ?", octets, row)


def _file(folder: Path, name: str) -> Path:
    (path,) = (path for path in body_files(folder) if path.name == f"body-{name}")
    return path


def flip_in_pack(folder: Path) -> None:
    (pack,) = packs(folder)
    octets = pack.read_bytes()
    pack.write_bytes(flip(octets, octets.index(body("packedc")) + 4_000))


def flip_row(folder: Path) -> None:
    _set(folder, "bbody-row", flip(body("row")))


def cut_row(folder: Path) -> None:
    _set(folder, "bbody-row", body("row")[:-1])


def lose_row(folder: Path) -> None:
    sql(folder, "DELETE FROM Cache WHERE key = 'bbody-row'")


def flip_file(folder: Path) -> None:
    path = _file(folder, "large")
    path.write_bytes(flip(path.read_bytes(), 1_400_000))


def cut_file(folder: Path) -> None:
    os.truncate(_file(folder, "file"), 99_999)


def lose_file(folder: Path) -> None:
    _file(folder, "file").unlink()


def flip_record(folder: Path) -> None:
    row = f"m{KEYS['row']}"
    _set(folder, row, flip(value(folder, row)))


def garbage_record(folder: Path) -> None:
    _set(folder, f"m{KEYS['row']}", b"garbage")


def garble_key(folder: Path) -> None:
    sql(
        folder,
        "UPDATE Cache SET key = CAST(? AS TEXT) WHERE key = ?",
        b"mhttp://a.example/x/\xff",
        f"m{KEYS['row']}",
    )


# What is done, the name of what suffers, whether its record does, and a word of why.
ALL: Final[dict[str, tuple[Callable[[Path], None], str, bool, str]]] = {
    "a flipped bit in a pack": (flip_in_pack, "packedc", False, "checksum"),
    "a flipped bit in a row": (flip_row, "row", False, "checksum"),
    "a row that is cut": (cut_row, "row", False, "999 octets instead of 1000"),
    "a missing row": (lose_row, "row", False, "no row"),
    "a flipped bit in a file": (flip_file, "large", False, "checksum"),
    "a file that is cut": (cut_file, "file", False, "99999 octets instead of 100000"),
    "a missing file": (lose_file, "file", False, "No such file"),
    "a flipped bit in a record": (flip_record, "row", True, "checksum"),
    "a record of garbage": (garbage_record, "row", True, "version"),
    "a garbled key": (garble_key, "\ufffd", True, "another key"),
}
