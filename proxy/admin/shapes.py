"""What the API answers with: values that become JSON, named as people name things."""

from __future__ import annotations

from typing import Any

import msgspec


class FillShape(msgspec.Struct, frozen=True):
    """A response on its way: octets, epoch seconds, octets a second."""

    key: str
    received: int
    length: int | None
    started: float
    rate: float
    followers: int


class FormShape(msgspec.Struct, frozen=True):
    """A form that is kept beside a stored response."""

    coding: str
    octets: int


class VariantShape(msgspec.Struct, frozen=True):
    """One stored response."""

    id: str
    selecting: list[tuple[str, str | None]]
    status: int
    fields: list[tuple[str, str]]
    validators: dict[str, str]
    octets: int
    part: tuple[int, int, int] | None
    invalid: bool
    forms: list[FormShape]
    request_time: float
    response_time: float
    freshness: dict[str, Any]


class EntryShape(msgspec.Struct, frozen=True):
    """Everything that is stored for one URL."""

    url: str
    key: str
    hits: int
    used: float
    variants: list[VariantShape]


class PurgeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to purge: just one of url, prefix, host, glob, tag, all.

    ``origin`` goes with the tag of a cache group (RFC 9875), which is of one origin alone.
    """

    url: str | None = None
    prefix: str | None = None
    host: str | None = None
    glob: str | None = None
    tag: str | None = None
    origin: str = ""
    all: bool = False
    soft: bool = False
    dry_run: bool = False


class Purged(msgspec.Struct, frozen=True):
    """How much was, or in a dry run would be, purged."""

    keys: int
    octets: int
    dry_run: bool


class WarmOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to fetch, with these fields."""

    urls: list[str]
    headers: dict[str, str] = {}
