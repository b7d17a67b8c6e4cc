"""JSON Schemas of what the API takes and answers, read off the types of which that is made."""

from __future__ import annotations

import inspect
from typing import Any, Final, get_type_hints

import msgspec

from proxy.admin.explaining import Explained
from proxy.admin.shapes import (
    EntryShape,
    FillShape,
    Purged,
    PurgeOrder,
    TidyingLine,
    TidyOrder,
    VerifyingLine,
    VerifyOrder,
    WarmOrder,
)
from proxy.admin.statistics import Moment  # noqa: TC001 - msgspec reads the types of Stats
from proxy.admin.top import Leaders  # noqa: TC001 - msgspec reads the types of Stats
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.transcoding import Counts  # noqa: TC001 - msgspec reads the types of Stats
from proxy.policy.reasons import Reason
from proxy.store.catalogue_rows import Entry

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_ONE_OF: Final = ("url", "prefix", "host", "glob", "tag")


def _object(name: str, *made_of: Any, **more: Any) -> type:
    """What these become as one object; ``more`` are other members, which may be absent."""
    members: dict[str, Any] = {}
    for one in made_of:
        members |= get_type_hints(one, localns={"Reason": Reason})
    for inner in ("rowid", "what"):
        members.pop(inner, None)
    optional = [(member, kind, None) for member, kind in more.items()]
    return msgspec.defstruct(name, [*members.items(), *optional])


Exchange: Final = _object("Exchange", ExchangeRecord, What)
EntryLine: Final = _object("EntryLine", Entry)
Explanation: Final = _object("Explanation", Explained, last=Exchange)


class Remembered(msgspec.Struct):
    """An exchange that has ended, and what would happen to its request now."""

    exchange: Exchange  # type: ignore[valid-type]
    now: Explanation | None = None  # type: ignore[valid-type]


class Health(msgspec.Struct):
    """The process answers."""

    status: str
    version: str


class Readiness(msgspec.Struct):
    """It takes requests, or does so no more."""

    status: str


class StoreFigures(msgspec.Struct):
    """Octets that are stored and that may be; keys; how far the index of them is."""

    octets: int
    limit: int
    keys: int
    evictions: int
    indexed: dict[str, int]


class Saved(msgspec.Struct):
    """What did not have to be fetched, and how long clients did not have to wait."""

    octets: int
    seconds: float


class Stats(msgspec.Struct):
    """All that is counted: octets, seconds, epoch seconds; and a line for each worker."""

    version: str
    started: float
    now: float
    listening: list[str]
    store: StoreFigures
    requests: int
    hits: int
    results: dict[str, int]
    octets: dict[str, int]
    saved: Saved
    evictions: int
    tunnels: int
    coding: Counts
    series: dict[str, list[Moment]]
    top: Leaders
    workers: list[dict[str, Any]]


class WarmingLine(msgspec.Struct):
    """One of the URLs: ``status`` 0 if it could not be fetched, and ``reason`` says why."""

    done: int
    of: int
    url: str
    status: int
    reason: str
    octets: int


_SHAPES: Final = (
    EntryLine, EntryShape, Exchange, Explanation, FillShape, Health, PurgeOrder, Purged, Readiness,
    Remembered, Stats, TidyOrder, TidyingLine, VerifyOrder, VerifyingLine, WarmOrder, WarmingLine,
)  # fmt: skip


def ref(shape: type) -> Schema:
    """Where the schema of that type is."""
    return {"$ref": _REF.format(name=shape.__name__)}


def components() -> dict[str, Schema]:
    """All of them, by name."""
    schemas = msgspec.json.schema_components(_SHAPES, ref_template=_REF)[1]
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    schemas["PurgeOrder"]["oneOf"] = [*map(_named, _ONE_OF), _everything()]
    return schemas


def _named(by: str) -> Schema:
    """An order that names by this what it purges, and by nothing else."""
    others: Schema = {other: {"type": "null"} for other in _ONE_OF if other != by}
    others["all"] = {"const": False}
    if by != "url":
        others["variant"] = {"type": "null"}
    return {"required": [by], "properties": {by: {"type": "string"}, **others}}


def _everything() -> Schema:
    none: Schema = {name: {"type": "null"} for name in (*_ONE_OF, "variant")}
    return {"required": ["all"], "properties": {"all": {"const": True}, **none}}
