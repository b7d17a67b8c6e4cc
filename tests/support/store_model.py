"""What stores on one folder may hand out, and what has to be: a dictionary that knows all puts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.store_process import Seen

Slot = tuple[str, str]  # key, and variant
Version = tuple[str, float]  # id, and response time


class Model:
    """What may be handed out, and what has to be."""

    def __init__(self) -> None:
        self.may: defaultdict[Slot, set[Version]] = defaultdict(set)
        self.ever: defaultdict[Slot, set[Version]] = defaultdict(set)
        self.must: set[Slot] = set()
        self.hurt = False  # anything may be lost
        self.rewound = False  # and what was done last undone
        self._clock = 0
        self._written: dict[str, Slot] = {}

    def new(self, slot: Slot, size: int) -> Version:
        """One that was never put before."""
        self._clock += 1
        version = (f"{self._clock}-{size}", float(self._clock))
        self.ever[slot].add((f"body-{version[0]}", version[1]))
        return version

    def tick(self) -> float:
        self._clock += 1
        return float(self._clock)

    def put(self, slot: Slot, version: Version, answer: object) -> None:
        """``answer`` None: nobody knows what came of it."""
        stored = (f"body-{version[0]}", version[1])
        if answer is True:
            self.may[slot] = {stored}
            self.must.add(slot)
            return
        self.may[slot].add(stored)
        self.must.discard(slot)

    def remove(self, key: str, done: bool, id_: str | None = None) -> None:
        for slot in [slot for slot in self.may if slot[0] == key]:
            gone = {one for one in self.may[slot] if id_ in (None, one[0])}
            if done:
                self.may[slot] -= gone
            if gone:
                self.must.discard(slot)

    def update(self, key: str, ids: list[str], now: float, done: bool) -> None:
        for slot in [slot for slot in self.may if slot[0] == key]:
            changed = {(id_, now) for id_, _ in self.may[slot] if id_ in ids}
            self.ever[slot] |= changed
            if done:
                self.may[slot] = {one for one in self.may[slot] if one[0] not in ids}
            self.may[slot] |= changed

    def lose(self) -> None:
        """Any of it may be gone."""
        self.must.clear()
        self.hurt = True

    def check(self, key: str, seen: list[Seen]) -> None:
        for one in seen:
            assert one.state != "wrong", one
            allowed = (self.ever if self.rewound else self.may)[key, one.vary]
            assert (one.id, one.time) in allowed, (one, allowed)
            assert self.hurt or one.state == "right", one
        there = {(key, one.vary) for one in seen}
        assert len(there) == len(seen), seen
        missing = {slot for slot in self.must if slot[0] == key} - there
        assert not missing, (missing, seen)
