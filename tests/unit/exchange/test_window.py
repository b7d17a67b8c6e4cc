"""A run of octets in memory: what is read is what was put in, at any positions."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.window import Window
from proxy.wire.bodies import JOINED

SIZES: Final = st.lists(st.sampled_from([0, 1, 2, 100, JOINED - 1, JOINED, JOINED + 1]), max_size=9)


def filled(sizes: list[int]) -> tuple[Window, bytes]:
    window, octets = Window(), b""
    for number, size in enumerate(sizes, 1):
        piece = bytes([number]) * size
        window.append(piece)
        octets += piece
    return window, octets


@given(SIZES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**4))
def test_what_is_read_is_what_was_put_in(sizes: list[int], at: int, drop: int, size: int) -> None:
    window, octets = filled(sizes)
    dropped = drop % (len(octets) + 1)
    window.drop(dropped)
    assert (window.end, len(window)) == (len(octets), len(octets) - window.start)
    assert window.start <= dropped <= max(window.first_end, dropped if not len(window) else 0)
    if len(window):
        offset = window.start + at % len(window)
        piece = window.read(offset, size)
        assert piece
        assert piece == octets[offset : offset + len(piece)]
        assert len(piece) <= size
    assert window.joined() == octets[window.start :]
    window.append(b"more")
    assert window.joined() == octets[window.start :] + b"more"
    window.clear()
    assert (window.start, window.joined()) == (window.end, b"")


def test_a_piece_that_is_not_small_is_not_copied() -> None:
    window, piece = Window(), bytes(JOINED)
    window.append(b"a")
    window.append(piece)
    assert window.read(1, 10**6) is piece


@pytest.mark.parametrize("sizes", [[1] * 100_000, [JOINED - 1, 2] * 50])
def test_small_pieces_are_joined(sizes: list[int]) -> None:
    window = Window()
    for size in sizes:
        window.append(b"a" * size)
    reads = offset = 0
    while offset < window.end:
        offset += len(window.read(offset, 10**6))
        reads += 1
    assert reads <= 2 * sum(sizes) // JOINED + 2
