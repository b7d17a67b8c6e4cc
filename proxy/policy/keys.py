"""What a stored response is found by (RFC 9111 §2, §4.1): target URI and selecting fields.

A selecting value is kept apart from its name and from its absence, so that no value can pretend
to be another.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded import Memo
from proxy.policy.reasons import Reason
from proxy.semantics.grammar import is_token, list_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request
    from proxy.semantics.targets import TargetURI

Selecting = tuple[tuple[str, str | None], ...]


class Differing(NamedTuple):
    """A selecting field as compared: as it was ``stored``, as it is ``asked``; None: absent."""

    name: str
    stored: str | None
    asked: str | None


_BLANKS: Final = " \t"
_OWS: Final = r"[ \t]*+"
_T: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_Q: Final = r"[qQ]=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)"
_WEIGHT: Final = rf"(?:{_OWS};{_OWS}{_Q})?"
_PARAMETER: Final = rf'(?:{_Q}|(?![qQ]=){_T}=(?:{_T}|"(?:[^"\\]++|\\.)*+"))'


def _list_of(member: str) -> re.Pattern[str]:
    return re.compile(rf"{member}(?:{_OWS},{_OWS}{member})*+", re.DOTALL)


# RFC 9110 §12.5, the selecting fields whose grammar is known here: whitespace around their members
# never matters. Other fields, and other syntax, may be read by an origin octet by octet.
_GRAMMARS: Final = {
    "accept": _list_of(rf"{_T}/{_T}(?:{_OWS};{_OWS}{_PARAMETER})*+"),
    "accept-charset": _list_of(_T + _WEIGHT),
    "accept-encoding": _list_of(_T + _WEIGHT),
    "accept-language": _list_of(rf"(?:\*|[A-Za-z]{{1,8}}(?:-[0-9A-Za-z]{{1,8}})*+){_WEIGHT}"),
}
# What a client proves itself by, or may: stored, shown and compared by a digest alone.
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization", "referer"})
# Names in one Vary; origins name a dozen. All variants are compared by all of theirs.
MOST_NAMES: Final = 64
# Of these case does not matter, and weights, not the order, say what is preferred (§12.5.4: that
# some read languages of one weight as ordered cannot be relied upon).
_WEIGHTED: Final = _GRAMMARS.keys() - {"accept"}


def primary(uri: TargetURI, rule: Rule | None) -> str:
    """The key that all variants share; ``rule`` may take query parameters out of it."""
    if rule is None or not rule.ignore_query:
        return str(uri)
    path, mark, query = str(uri).partition("?")
    kept = "&".join(p for p in query.split("&") if not rule.ignored(p.partition("=")[0]))
    return f"{path}?{kept}" if kept or (mark and not query) else path


def left_out(uri: TargetURI, rule: Rule | None) -> tuple[str, ...]:
    """The query parameters, with their values, that ``rule`` takes out of the key."""
    if rule is None:
        return ()
    parameters = uri.path.partition("?")[2].split("&")
    return tuple(p for p in parameters if rule.ignored(p.partition("=")[0]))


def varying(fields: Fields) -> list[str]:
    """By which request fields a response is selected: the members of its Vary, in lower case.

    What is no name may stand for any: "*", and so may names without end. And Origin, where
    Access-Control-Allow-Origin is not for all of them: many an origin forgets to say that it
    answers each in its own way. ``null`` stands for opaque ones.
    """
    members = []
    if "vary" in fields:
        members = [m.lower() if is_token(m) else "*" for m in fields.members("vary")]
        if len(members) > MOST_NAMES:
            return ["*"]
    if fields.get("access-control-allow-origin") not in {None, "*"}:
        members.append("origin")
    return members


def selecting(vary: Iterable[str], fields: Fields) -> Selecting | None:
    """Name and comparable value of what Vary names, sorted by name; None for ``Vary: *``.

    ``vary`` is what ``varying`` says of the response, ``fields`` are those of the request.
    """
    names = {member.lower() for member in vary}
    if "*" in names:
        return None
    return tuple((name, _selecting_value(name, fields)) for name in sorted(names))


def selects(stored: StoredResponse, request: Request) -> bool:
    """Whether the request's selecting fields are those that the response was stored for (§4.1)."""
    for name, value in stored.selecting:  # noqa: SIM110 -- a generator costs more than the loop
        if _selecting_value(name, request.fields) != value:
            return False
    return True


def differing(stored: StoredResponse, request: Request) -> Iterator[Differing]:
    """The selecting fields for which the request is not selected (§4.1)."""
    for name, value in stored.selecting:
        if (own := _selecting_value(name, request.fields)) != value:
            yield Differing(name, value, own)


def beyond(request: Request, options: Options) -> Reason | None:
    """What may shape the response although it is in no key; such a request passes the cache by."""
    fields = request.fields
    if "transfer-encoding" in fields or fields.get("content-length") not in {None, "0"}:
        return Reason.REQUEST_BODY
    return reflected(request, options)


def reflected(request: Request, options: Options) -> Reason | None:
    """What origins reflect without naming it in Vary: a Host of another authority, some fields."""
    if request.host:
        return Reason.REQUEST_OTHER_HOST
    if _lower(options.unkeyed_fields).isdisjoint(request.fields.names()):
        return None
    return Reason.REQUEST_REFLECTED


def unkeyed(fields: Fields, options: Options) -> list[str]:
    """Which fields those are, in lower case."""
    return sorted(_lower(options.unkeyed_fields).intersection(fields.names()))


@lru_cache(maxsize=64)
def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _selecting_value(name: str, fields: Fields) -> str | None:
    """§4.1: as it is, or normalised where the field's own grammar says what does not matter."""
    value = fields.get(name)
    if value is None:
        return None
    if name in _SECRET:
        return f"sha256:{sha256(value.strip(_BLANKS).encode()).hexdigest()}"
    if name not in _GRAMMARS:
        return value.strip(_BLANKS)
    return _remembered[name, value]


def _normalised(named: tuple[str, str]) -> str:
    name, value = named
    value = value.strip(_BLANKS)
    if _GRAMMARS[name].fullmatch(value) is None:
        return value
    members = list_members(value)
    if name not in _WEIGHTED:
        return ",".join(members)
    weighted = list(map(_weighted, members))
    if len({member for member, _ in weighted}) < len(members):
        return value  # which of the two counts, nobody says
    weighted.sort(key=_by_weight_and_name)
    return ",".join(m if weight == 1 else f"{m};q={weight:g}" for m, weight in weighted)


# Short ones repeat; what is long is as a rule one client's own and not worth remembering.
_remembered: Final = Memo("selecting values", _normalised, 2**18, longest=160)


def _weighted(member: str) -> tuple[str, float]:
    """Name and weight of a member such as ``de ; q=0.50``."""
    name, _, weight = member.lower().partition(";")
    return name.rstrip(" \t"), float(weight.partition("=")[2] or 1)


def _by_weight_and_name(weighted: tuple[str, float]) -> tuple[float, str]:
    return -weighted[1], weighted[0]
