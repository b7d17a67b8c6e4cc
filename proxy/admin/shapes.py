"""What the API answers with: values that become JSON, named as people name things."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

# The API says what is wrong with a url or a field in words of its own: these only describe them.
NAME: Final = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+"
VALUE: Final = "[\\t -~\\u0080-\\u00ff]*$"
Url = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri"})]
_Glob = Annotated[str, msgspec.Meta(extra_json_schema={"format": "url-glob"})]
_Name = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"{NAME}$"})]
_Value = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{VALUE}"})]


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
    tags: list[str]
    variants: list[VariantShape]


class PurgeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to purge: just one of url, prefix, host, glob, tag, all.

    ``variant``, the id of a stored response, goes with url: that one alone. ``origin`` goes with
    the tag of a cache group (RFC 9875), which is of one origin alone.
    """

    url: Url | None = None
    variant: str | None = None
    prefix: str | None = None
    host: str | None = None
    glob: _Glob | None = None
    tag: str | None = None
    origin: str = ""
    all: bool = False
    soft: bool = False
    dry_run: bool = False


class Purged(msgspec.Struct, frozen=True):
    """How much was, or in a dry run would be, purged.

    ``octets`` of a URL are those of its bodies; of all else, those that the entries take.
    """

    keys: int
    octets: int
    dry_run: bool


class WarmOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to fetch, with these fields."""

    urls: list[Url]
    headers: dict[_Name, _Value] = {}


class VerifyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to verify, everything without ``urls``; ``remove`` takes out what is damaged."""

    urls: list[Url] | None = None
    remove: bool = False


class DamageShape(msgspec.Struct, frozen=True):
    """What is damaged: the body with that id, the record where it is "", all without a key."""

    key: str
    id: str
    why: str
    removed: bool


class VerifyingLine(msgspec.Struct, frozen=True):
    """How many keys were verified, of about how many, octets of their bodies; and what is new."""

    done: int
    of: int
    octets: int
    damaged: list[DamageShape] = []
    missing: list[str] = []
    ended: bool = False


class TidyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give back what is of no use; ``dry_run`` only counts it."""

    dry_run: bool = False


class UselessShape(msgspec.Struct, frozen=True):
    """So many of a kind, and their octets."""

    what: str
    count: int
    octets: int


class TidyingLine(msgspec.Struct, frozen=True):
    """What it is doing, and how far that is; the last says what was found, or given back."""

    step: str
    done: int = 0
    of: int = 0
    found: list[UselessShape] = []
    dry_run: bool = False
    ended: bool = False
