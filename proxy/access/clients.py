"""Who counts as one client, and how clients share what there is only so much of. Pure.

Three values: ``Shares`` says who has how many, ``Lines`` who is next, ``Rates`` who has asked for
too much. None of them knows what is shared.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from proxy.access.addresses import parse_address, unmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T", bound="Hashable")

_PREFIX: Final = 64  # RFC 4291 §2.5.1: one host may take any address below it
BURST: Final = 10.0  # seconds whose requests may come at once
_REMEMBERED: Final = 16384  # clients that have just asked; one takes some 200 octets
_ROUNDED: Final = 1e-6  # seconds that adding up fractions may lose


@lru_cache(4096)
def client_of(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 of an IPv6 address.

    Link-local addresses of all neighbours are in one /64: those count each by itself.
    """
    try:
        parsed = unmapped(parse_address(address))
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address) or parsed.is_link_local:
        return str(parsed)
    return str(IPv6Network((parsed, _PREFIX), strict=False))


class Shares:
    """How many of ``most`` each client has, and never more than ``each``.

    A client may take one more while it has no more than are free, so that whoever comes next
    finds some: of three or more nobody alone gets all, of many nobody gets much more than half.
    """

    __slots__ = ("_each", "_most", "_taken", "total")

    def __init__(self, most: int, each: int = sys.maxsize) -> None:
        self._most = most
        self._each = each
        self._taken: dict[str, int] = {}
        self.total = 0

    def of(self, client: str) -> int:
        """How many it has."""
        return self._taken.get(client, 0)

    def may_take(self, client: str) -> bool:
        """Whether it may have one more."""
        free, taken = self._most - self.total, self._taken.get(client, 0)
        return free > 0 and taken <= free and taken < self._each

    def take(self, client: str) -> None:
        """It has one more."""
        self._taken[client] = self._taken.get(client, 0) + 1
        self.total += 1

    def give_back(self, client: str) -> None:
        """It has one less."""
        taken = self._taken[client] - 1
        self.total -= 1
        if taken:
            self._taken[client] = taken
        else:
            del self._taken[client]


class Lines(Generic[T]):
    """Who waits for a turn: a line for each client, and the clients by turns."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        # Ordered ones: the first of a plain dict is found by walking what has gone.
        self._lines: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __contains__(self, client: str) -> bool:
        return client in self._lines

    def add(self, client: str, item: T) -> None:
        """At the end of its client's line, unless it is there already."""
        self._lines.setdefault(client, OrderedDict())[item] = None

    def remove(self, client: str, item: T) -> None:
        """It does not wait any more, if it did."""
        line = self._lines.get(client)
        if line is not None:
            line.pop(item, None)
            if not line:
                del self._lines[client]

    def next(self, may: Callable[[str], bool]) -> tuple[str, T] | None:
        """Whose turn it is among those clients that ``may`` have one; it waits no longer."""
        for client, line in self._lines.items():
            if may(client):
                item, _ = line.popitem(last=False)
                if line:
                    self._lines.move_to_end(client)
                else:
                    del self._lines[client]
                return client, item
        return None

    def clear(self) -> list[T]:
        """All who wait; then nobody does."""
        waiting = [item for line in self._lines.values() for item in line]
        self._lines.clear()
        return waiting


class Rates:
    """So many requests ``per_second`` of each client, those of ten seconds at once if need be.

    A token bucket for each client, as one number: when it will be full again. Whoever has not
    asked for the longest time is forgotten first.
    """

    __slots__ = ("_full_at", "_interval", "_span")

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._span = max(BURST, self._interval)
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Count one request; 0, or, if it is one too many, the seconds until the next may come."""
        full_at = max(self._full_at.pop(client, now), now)
        early = full_at + self._interval - self._span - now
        if early > _ROUNDED:
            self._full_at[client] = full_at
            return early
        self._full_at[client] = full_at + self._interval
        if len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)
        return 0.0
