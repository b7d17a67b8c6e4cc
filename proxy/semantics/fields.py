"""Fields: the ordered, immutable, case-insensitive multi-map of RFC 9110 §5.

Values are ``str`` decoded as latin-1, so that every octet survives the way in and out.
Every lookup name is given in lower case; the case in which a field came is kept for sending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator

Line = tuple[str, str]


class Fields:
    """Field lines in the order received; equal when the lines are equal.

    Two rooms for what others make of them, as the same ones come often: ``_onward`` are the fields
    with which a request goes to the origin, ``_rendered`` their octets.
    """

    __slots__ = ("_index", "_onward", "_rendered", "lines")
    _onward: object
    _rendered: object

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines: tuple[Line, ...] = tuple(lines)
        self._index: dict[str, str | list[str]] | None = None

    def _indexed(self) -> dict[str, str | list[str]]:
        """By lower-case name the value, or a list of several; made when it is first asked for."""
        index: dict[str, str | list[str]] = {name.lower(): value for name, value in self.lines}
        if len(index) != len(self.lines):
            index = {}
            for name, value in self.lines:
                lower = name.lower()
                held = index.get(lower)
                if held is None:
                    index[lower] = value
                elif isinstance(held, list):
                    held.append(value)
                else:
                    index[lower] = [held, value]
        self._index = index
        return index

    def __contains__(self, name: str) -> bool:
        index = self._index
        return name in (self._indexed() if index is None else index)

    def get(self, name: str) -> str | None:
        """The combined field value (RFC 9110 §5.3), None when absent."""
        index = self._index
        value = (self._indexed() if index is None else index).get(name)
        return ", ".join(value) if isinstance(value, list) else value

    def first(self, name: str) -> str | None:
        """The value of the first line of that name: for one look at fields that have no other."""
        for own, value in self.lines:
            if own.lower() == name:
                return value
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """The value of each field line of that name, in order."""
        index = self._index
        value = (self._indexed() if index is None else index).get(name)
        if value is None:
            return ()
        return tuple(value) if isinstance(value, list) else (value,)

    def members(self, name: str) -> list[str]:
        """The non-empty members of a list-based field (RFC 9110 §5.6.1), quotes respected."""
        return [m for value in self.all(name) for m in list_members(value)]

    def names(self) -> Collection[str]:
        """Each field name once, in lower case."""
        index = self._index
        return (self._indexed() if index is None else index).keys()

    def without(self, names: Container[str]) -> Fields:
        """These fields less every line whose lower-case name is in ``names``."""
        kept = [line for line in self.lines if line[0].lower() not in names]
        return self if len(kept) == len(self.lines) else Fields(kept)

    def replacing(self, name: str, value: str) -> Fields:
        """One line ``name: value`` at the end instead of every line of that name."""
        lower = name.lower()
        kept = [line for line in self.lines if line[0].lower() != lower]
        return Fields([*kept, (name, value)])

    def adding(self, *lines: Line) -> Fields:
        """These fields and more lines after them."""
        return Fields((*self.lines, *lines))

    def differing(self, other: Fields) -> set[str]:
        """The names here, in lower case, that have another value, or none, in ``other``."""
        index, others = self._index, other._index
        theirs = other._indexed() if others is None else others
        mine = self._indexed() if index is None else index
        return {name for name, value in mine.items() if theirs.get(name) != value}

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __eq__(self, other: object) -> bool:
        return self.lines == other.lines if isinstance(other, Fields) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.lines)

    def __repr__(self) -> str:
        return f"Fields({list(self.lines)!r})"


NO_FIELDS: Final = Fields()
