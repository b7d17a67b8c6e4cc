"""Bounded memories: what is remembered between requests, counted in octets of keys and values.

Whatever lives as long as the process and grows with what clients and origins send is one of these,
or has a fixed size: nobody makes the program remember more than was granted. What is too long is
not remembered at all; of too much the oldest goes. To look something up costs what a dict costs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_Key = TypeVar("_Key", bound="Hashable")
_Value = TypeVar("_Value")

ENTRY: Final = 150  # octets of an entry beside its key and its value, which are objects
_MOST: Final = 1 << 16  # entries

_numbers: Final = count()
_all: Final[WeakValueDictionary[int, Memory]] = WeakValueDictionary()


def memories() -> list[Memory]:
    """All there are, in the order in which they were made."""
    return list(_all.values())


def length(text: object) -> int:
    """Octets of a text, or of all texts in a tuple; others count as a word."""
    if isinstance(text, str | bytes):
        return len(text)
    return sum(map(length, text)) if isinstance(text, tuple) else 8


class Bounded(OrderedDict[_Key, _Value], Generic[_Key, _Value]):
    """At most ``most`` octets, and as many entries. Any thread may use it.

    ``weigh`` says what an entry takes beside ``ENTRY``: the same as long as it is here. ``keep``
    and ``drop`` change it; everything else only looks.
    """

    def __init__(
        self,
        name: str,
        most: int,
        weigh: Callable[[_Key, _Value], int],
        entries: int = _MOST,
    ) -> None:
        super().__init__()
        self.name = name
        self.most = most
        self.octets = 0
        self._entries = entries
        self._weigh = weigh
        self._lock = Lock()
        _all[next(_numbers)] = self

    def keep(self, key: _Key, value: _Value) -> None:
        """Remember it, as the latest, unless it would take more than an eighth of all."""
        weight = ENTRY + self._weigh(key, value)
        with self._lock:
            self._drop(key)
            if weight * 8 > self.most:
                return
            self[key] = value
            self.octets += weight
            while self.octets > self.most or len(self) > self._entries:
                self._drop(next(iter(self)))

    def drop(self, key: _Key) -> None:
        """Forget it, if it is here."""
        with self._lock:
            self._drop(key)

    def forget(self) -> None:
        """Everything."""
        with self._lock:
            self.clear()
            self.octets = 0

    def _drop(self, key: _Key) -> None:
        if key in self:
            self.octets -= ENTRY + self._weigh(key, self[key])
            del self[key]


class Ring(deque[_Value]):
    """The latest, at most ``most`` octets and ``entries``. One thread adds."""

    def __init__(
        self, name: str, most: int, weigh: Callable[[_Value], int], entries: int = _MOST
    ) -> None:
        super().__init__()
        self.name = name
        self.most = most
        self.octets = 0
        self._entries = entries
        self._weigh = weigh
        self._weights: deque[int] = deque()
        _all[next(_numbers)] = self

    def forget(self) -> None:
        """Everything."""
        self.clear()
        self._weights.clear()
        self.octets = 0

    def add(self, values: Sequence[_Value]) -> None:
        """Each as the latest."""
        weights = [*map(self._weigh, values)]
        self.extend(values)
        self._weights.extend(weights)
        self.octets += sum(weights)
        while self.octets > self.most or len(self) > self._entries:
            self.popleft()
            self.octets -= self._weights.popleft()


class Memo(Bounded[_Key, _Value]):
    """What ``make`` makes of a key, which depends on nothing else: ``memo[key]``.

    Keys of more than ``longest`` octets are not remembered. ``each`` and ``per_octet`` say what a
    value takes: so many octets, and so many for each octet of its key; or ``weigh`` does.
    """

    def __init__(  # noqa: PLR0913 - a row says all of it at once
        self,
        name: str,
        make: Callable[[_Key], _Value],
        most: int,
        *,
        longest: int = 128,
        each: int = 100,
        per_octet: int = 2,
        weigh: Callable[[_Key, _Value], int] | None = None,
    ) -> None:
        super().__init__(name, most, weigh or (lambda key, _: each + per_octet * length(key)))
        self._make = make
        self.longest = longest

    def __missing__(self, key: _Key) -> _Value:
        value = self._make(key)
        if length(key) <= self.longest:
            self.keep(key, value)
        return value


Memory = Bounded[Any, Any] | Ring[Any]
