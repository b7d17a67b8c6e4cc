"""Accept-Encoding (RFC 9110 §12.5.3): which content codings a client takes, and how gladly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.bounded import Memo
from proxy.semantics.grammar import list_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.semantics.fields import Fields

IDENTITY: Final = "identity"
# §8.4.1: recipients are to consider the x- names equivalent.
_ALIASES: Final = {"x-gzip": "gzip", "x-compress": "compress"}
# A coding or "*", and a qvalue of at most three decimals (§12.4.2).
_MEMBER: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]++)"
    r"(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_LEAST: Final = 0.001


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request accepts. ``weights`` by canonical coding, ``identity`` always among them.

    ``others`` is the weight of every coding that is not named. ``stated`` is False without
    Accept-Encoding: any coding is acceptable then, though many such clients decode none.
    """

    weights: Mapping[str, float]
    others: float
    stated: bool = True

    def q(self, coding: str) -> float:
        """Its weight from 0 (refused) to 1.

        An identity that is not named has the least weight there is: acceptable, but who names a
        coding would rather have that.
        """
        return self.weights.get(canonical(coding), self.others)

    def names(self, coding: str) -> bool:
        """Whether the client knows this coding by name, and not by ``*`` alone."""
        return canonical(coding) in self.weights


_ANYTHING: Final = Accepted({IDENTITY: 1.0}, 1.0, stated=False)


def canonical(coding: str) -> str:
    """One spelling for each content coding (§8.4.1): case does not matter, x-gzip is gzip."""
    lower = coding.lower()
    return _ALIASES.get(lower, lower)


def accepted(fields: Fields) -> Accepted:
    """What a request with these fields accepts."""
    value = fields.get("accept-encoding")
    if value is None:
        return _ANYTHING
    return _accepted[value]


def _parsed(value: str) -> Accepted:
    """Members that are malformed are ignored; of repetitions the least weight counts."""
    weights: dict[str, float] = {}
    for member in list_members(value):
        if match := _MEMBER.fullmatch(member):
            name, weight = canonical(match[1]), float(match[2] or 1)
            weights[name] = min(weight, weights.get(name, weight))
    # A field that names nothing wants no coding at all.
    nothing_named = not weights
    others = weights.pop("*", None)
    if IDENTITY not in weights:
        unnamed = 1.0 if nothing_named else _LEAST
        weights[IDENTITY] = unnamed if others is None else others
    return Accepted(weights, others or 0.0)


_accepted: Final = Memo("accepted codings", _parsed, 2**18, each=600, per_octet=60)
