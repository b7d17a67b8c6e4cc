"""A stored response (RFC 9111 §2): everything about it except its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.policy.freshness import Terms
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import ResponseHead


@dataclass(frozen=True, slots=True)
class Part:
    """What an incomplete stored response has (§3.3): octets ``first``..``last`` of ``complete``."""

    first: int
    last: int
    complete: int


class _Assessed:
    """Room for what is worked out once: not fields, so neither compared nor copied.

    ``_terms`` is of ``freshness.terms``, ``_conditional`` of ``revalidation.conditional``.
    """

    __slots__ = ("_conditional", "_terms")
    _conditional: Fields
    _terms: Terms


@dataclass(frozen=True, slots=True)
class StoredResponse(_Assessed):
    """One stored response. Immutable: a change makes a new value (``dataclasses.replace``).

    ``id`` names the body bytes: two values with the same id have the same body. ``selecting``
    holds the selecting fields of the request (§4.1), as (lower-case name, value as it is compared
    or None when absent), sorted by name; empty without Vary. ``head`` is as it goes out again: no
    connection-specific fields, no Age of our own adding, and that of a 200 even where ``part`` says
    that only a part is held. Times are seconds since the epoch.
    ``checksum`` is over the body bytes held. ``personal``: the request carried Cookie or
    Authorization, so there is no heuristic freshness. ``invalid``: it must be validated before
    reuse, whatever its freshness (§4.4, soft purge). ``part`` is set for incomplete responses.
    ``verbatim``: the body goes as it is to everybody, whatever its content coding.
    ``decoded_length``: octets of the body without its content codings; None where it has none, or
    was not decoded to see.
    """

    id: str
    selecting: tuple[tuple[str, str | None], ...]
    head: ResponseHead
    request_time: float
    response_time: float
    length: int
    checksum: bytes
    personal: bool = False
    invalid: bool = False
    part: Part | None = None
    verbatim: bool = False
    decoded_length: int | None = None
