"""Globs, matched in linear time: each character of a text is looked at once, whatever the pattern.

A glob is a row of places, and how far a text may have come in it is a set of them: the bits of an
integer. What a character makes of a set is worked out once and remembered.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 4096  # remembered steps of a glob; then it begins anew


class Glob:
    """``*`` stands for any text without the characters ``apart``.

    With ``across``, ``**`` stands for any text without those, and ``**/`` for nothing as well;
    without it a row of stars is one star. All other characters stand for themselves.
    """

    __slots__ = (
        "_across", "_apart", "_begins", "_ends", "_known", "_last", "_literals", "_narrow",
        "_optional", "_start", "_steps", "_wide",
    )  # fmt: skip

    def __init__(self, glob: str, apart: str = "", across: str | None = None) -> None:
        self._apart = apart
        self._across = across or ""
        self._literals: dict[str, int] = {}
        self._narrow = self._wide = self._optional = 0
        self._last = 1 << self._read(glob, spans=across is not None)
        # Most texts differ before the first star or after the last.
        self._begins, _, rest = glob.partition("*")
        self._ends = rest[rest.rfind("*") + 1 :].removeprefix("/" if across is not None else "")
        self._steps = 0
        self._known: dict[int, _Places] = {}
        self._start = self._reached(self._closed(1 << len(self._begins)))

    def _read(self, glob: str, *, spans: bool) -> int:
        """The number of places."""
        bit = at = 0
        while at < len(glob):
            if spans and glob.startswith("**/", at):
                self._optional |= 1 << bit
                self._wide |= 2 << bit
                self._literals["/"] = self._literals.get("/", 0) | 4 << bit
                bit += 3
                while glob.startswith("**/", at):
                    at += 3
                continue
            star = _row(glob, at)
            if spans and star == 2:
                self._wide |= 1 << bit
            elif star:
                self._narrow |= 1 << bit
            else:
                self._literals[glob[at]] = self._literals.get(glob[at], 0) | 1 << bit
            bit, at = bit + 1, at + max(star, 1)
        return bit

    def matches(self, text: str) -> bool:
        """Whether the glob stands for the whole text."""
        if not (text.startswith(self._begins) and text.endswith(self._ends)):
            return False
        places = self._start
        for character in text[len(self._begins) :]:
            places = places[character]
            if not places.bits:
                return False
        return bool(places.bits & self._last)

    def _step(self, places: _Places, character: str) -> _Places:
        if self._steps >= MOST:
            self._steps = 0
            self._start.clear()
            self._known = {self._start.bits: self._start}
        self._steps += 1
        bits = (places.bits & self._literals.get(character, 0)) << 1
        if character not in self._apart:
            bits |= places.bits & self._narrow
        if character not in self._across:
            bits |= places.bits & self._wide
        places[character] = reached = self._reached(self._closed(bits))
        return reached

    def _reached(self, bits: int) -> _Places:
        if (known := self._known.get(bits)) is None:
            known = self._known[bits] = _Places(self, bits)
        return known

    def _closed(self, bits: int) -> int:
        """With the places that are reached by no character at all."""
        while True:
            stars, optional = bits & (self._narrow | self._wide), bits & self._optional
            more = bits | stars << 1 | optional << 1 | optional << 3
            if more == bits:
                return bits
            bits = more


class _Places(dict[str, "_Places"]):
    """A set of places, and those that each character leads to from there."""

    __slots__ = ("_glob", "bits")

    def __init__(self, glob: Glob, bits: int) -> None:
        super().__init__()
        self._glob = glob
        self.bits = bits

    def __missing__(self, character: str) -> _Places:
        return self._glob._step(self, character)


def _row(glob: str, at: int) -> int:
    """How many stars there are from there on."""
    end = at
    while glob.startswith("*", end):
        end += 1
    return end - at
