"""The rows of the differential test: an origin, and what its clients ask.

A row is played twice, by one origin directly and by another through the proxy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.asking import Ask, Client, Seen, Stage, Way
from tests.support.differences import Pair, differences
from tests.support.origin import head
from tests.support.resources import NOW, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import StartHouse
    from tests.support.house import Config, Door
    from tests.support.origin import Origin
    from tests.support.resources import Scripted

# How many answers of a row are printed that differ.
SHOWN: Final = 3
ALL: Final = "Accept-Encoding: gzip, deflate, br, zstd"
GZIP: Final = "Accept-Encoding: gzip"
BR: Final = "Accept-Encoding: br"
IDENTITY: Final = "Accept-Encoding: identity"
HELD: Final = "If-None-Match: {etag}"
SINCE: Final = "If-Modified-Since: {modified}"
RESUMED: Final = ("Range: bytes=10-", "If-Range: {etag}")


def get(*fields: str, who: str = "", **more: Any) -> Ask:
    """One request; clients are told apart by their Accept-Encoding unless they have a name."""
    accept = next((line for line in fields if line.lower().startswith("accept-encoding")), "bare")
    return Ask(who or accept, fields, **more)


def put(path: str = "", *fields: str, body: bytes | None = b"new", method: str = "PUT") -> Ask:
    return get(*fields, method=method, body=body, path=path)


def everything(*fields: str) -> tuple[Ask, ...]:
    """What one client asks of a URL: it, again, its head, parts of it, whether it has changed."""
    return (
        get(*fields),
        get(*fields),
        get(*fields, method="HEAD"),
        get(*fields, "Range: bytes=5-9"),
        get(*fields, "Range: bytes=-7"),
        get(*fields, HELD),
        get(*fields, SINCE),
        get(*fields, *RESUMED),
        get(*fields, HELD, method="HEAD"),
    )


CODED_FIRST: Final = (*everything(ALL), *everything(), *everything(BR), *everything(IDENTITY))
PLAIN_FIRST: Final = (*everything(), *everything(ALL), *everything(IDENTITY), *everything(GZIP))
# For origins that say the same to everybody: no part and no condition would be heard.
GETS: Final = tuple(get(*line) for line in ((ALL,), (ALL,), (), (), (BR,), (GZIP,), (IDENTITY,)))
BARE: Final = (get(), get(), get(ALL))


LENGTH: Final = "Content-Length: 5"
AGAIN: Final = (get(), get())


@dataclass(frozen=True, slots=True)
class Row:
    """``own``: the coding is the object's own, so that nobody gets it in another.

    ``most``: how many requests the origin may get through the proxy.
    """

    id: str
    origin: Scripted
    asks: tuple[Ask, ...]
    path: str = "/a"
    config: Config = field(default_factory=dict)
    most: int = 1000
    own: bool = False
    tunnel: bool = False

    def __str__(self) -> str:
        return self.id

    def placed(self, ask: Ask) -> Ask:
        """With a path: that of the row, or its own in the row's folder."""
        if not ask.path:
            return replace(ask, path=self.path)
        folder = "/" + self.path.split("/")[1] if self.path.count("/") > 1 else ""
        fields = tuple(line.replace("{folder}", folder) for line in ask.fields)
        return replace(ask, path=folder + ask.path, fields=fields)

    def wholes(self) -> Row:
        """What these clients would have got of a resource without their ranges and conditions."""
        kept = ("accept-encoding:", "x-key:")
        fields = {
            tuple(line for line in ask.fields if line.lower().startswith(kept)): None
            for ask in self.asks
            if isinstance(self.origin, Resource) and ask.method == "GET"
        }
        return replace(self, asks=tuple(Ask("wholes", each) for each in fields))

    def lines(self) -> list[str]:
        """What is told of it when it fails."""
        about = [
            f"origin: {str(self.origin)[:600]}",
            f"path {self.path}{', in CONNECT' if self.tunnel else ''}",
        ]
        return [*about, *(f"{number}. {ask}" for number, ask in enumerate(self.asks, 1))]


def both(
    name: str, origin: Scripted, path: str = "/a", *, most: int = 1000, own: str = ""
) -> list[Row]:
    """Two rows: the first client takes codings, or it takes none.

    ``own``: "always", or only where the first client did not ask for the coding: "plain first".
    """
    first, always = {"coded first": CODED_FIRST, "plain first": PLAIN_FIRST}, own == "always"
    return [
        Row(f"{name}, {order}", origin, asks, path, most=most, own=always or own == order)
        for order, asks in first.items()
    ]


def gets(
    name: str,
    origin: Scripted,
    *asks: Ask,
    path: str = "/a",
    most: int = 1000,
    own: bool = False,
) -> list[Row]:
    return [Row(name, origin, asks or GETS, path, most=most, own=own)]


def chunked_head(*fields: str) -> bytes:
    return head(200, NOW, *fields, "Transfer-Encoding: chunked")


async def check(row: Row, start_house: StartHouse, origin: Origin, direct: Origin) -> None:
    """The row as a test; ``origin`` is the one behind the proxy."""
    one = await played(row, direct, None)
    other = await played(row, origin, await start_house(row.config))
    if found := compared(row, one, other):
        pytest.fail("\n".join(found), pytrace=False)
    asked = [received.start for received in origin.requests]
    assert len(asked) <= row.most, asked


async def played(row: Row, origin: Origin, door: Door | None) -> list[Seen]:
    """What the clients of the row see, directly where there is no door."""
    stage = Stage()
    origin.otherwise = row.origin.script(stage)
    way = Way(origin, door, row.tunnel)
    clients: dict[str, Client] = {}
    seen = []
    try:
        for ask in row.asks:
            client = clients.setdefault(ask.who, Client(way, stage))
            seen.append(await client.ask(row.placed(ask)))
    finally:
        for client in clients.values():
            await client.close()
    return seen


def compared(
    row: Row, direct: list[Seen], proxied: list[Seen], wholes: Sequence[Seen] = ()
) -> list[str]:
    """Each answer that differs: what was asked, both answers, the differences."""
    found = []
    gets = [seen for ask, seen in zip(row.asks, direct, strict=True) if ask.method == "GET"]
    known = tuple(
        seen for seen in (*gets, *wholes) if seen.status not in (206, 304) and seen.end == "whole"
    )
    parts = any(ask.header("range") is not None for ask in row.asks)
    for number, (ask, one, other) in enumerate(zip(row.asks, direct, proxied, strict=True), 1):
        pair = Pair(row.placed(ask), one, other, known, row.own, parts)
        if lines := differences(pair):
            seen = ["  directly:", str(one), "  through the proxy:", str(other)]
            found.append("\n".join([f"{number}. {ask}", *(f"  {line}" for line in lines), *seen]))
    more = [f"and {len(found) - SHOWN} more answers"] if len(found) > SHOWN else []
    return [*found[:SHOWN], *more]
