"""Rules: what an origin fails to say, a person may, for the target URIs that a pattern matches.

A glob is matched against the whole normalised target URI: ``*`` stands for anything within the
host or one path segment, ``**`` also for slashes, ``**/`` also for no segment at all. Only a glob
with a ``?`` looks at the query. A regular expression is searched for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.semantics.targets import DEFAULT_PORTS

if TYPE_CHECKING:
    from proxy.semantics.targets import TargetURI
    from proxy.semantics.units import Octets, Seconds

_GLOB: Final = re.compile(r"([a-z*]+)://([^/?]+)(/.*)", re.IGNORECASE)
_WILDCARD: Final = re.compile(r"(\*\*/|\*\*|\*)")


class _Compiled:
    """Keeps the pattern beside the settings it is made from: neither compared nor shown."""

    __slots__ = ("_pattern",)
    _pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Rule(_Compiled):
    """One ``[[rules]]`` entry; ``match`` (a glob) or ``regex``.

    ``freshness`` is for successes and redirects without explicit freshness; ``override`` sets it
    also against max-age, s-maxage, Expires, no-cache and must-revalidate, but never against what
    protects clients from one another: no-store, private, ``Vary: *``, Authorization. ``cache``
    False: neither read nor write. ``ignore_query``: globs over names of query parameters that do
    not belong to the key. ``max_object_size`` and ``stale_if_error`` replace the general ones.
    ``negotiate`` replaces the one under ``[coding]``. ``store_post``: the answer to a POST is
    stored for GET where it says so (RFC 9110 §9.3.3). ``where`` it was written, as
    ``config.toml:31``, is no setting.
    Raises ValueError with one sentence when a pattern cannot be meant.
    """

    match: str = ""
    regex: str = ""
    freshness: Seconds | None = None
    override: bool = False
    cache: bool = True
    ignore_query: tuple[str, ...] = ()
    max_object_size: Octets | None = None
    stale_if_error: Seconds | None = None
    negotiate: bool | None = None
    store_post: bool = False
    where: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if bool(self.match) == bool(self.regex):
            raise ValueError("a rule has either match (a glob) or regex")
        if self.override and self.freshness is None:
            raise ValueError("override = true says nothing without freshness")
        for glob in self.ignore_query:
            if not glob or re.search(r"[&=?#]", glob):
                raise ValueError(f"ignore_query has {glob!r}: write names such as utm_*")
        pattern = _glob(self.match) if self.match else _regex(self.regex)
        object.__setattr__(self, "_pattern", pattern)

    def applies(self, uri: TargetURI) -> bool:
        """Whether the rule is for this target URI."""
        return self._pattern.search(str(uri)) is not None

    def ignored(self, parameter: str) -> bool:
        """Whether the query parameter of that name does not belong to the key."""
        return _names(self.ignore_query).fullmatch(parameter) is not None


def first(rules: tuple[Rule, ...], uri: TargetURI) -> Rule | None:
    """The rule for this target URI, None when none applies."""
    return next((rule for rule in rules if rule.applies(uri)), None) if rules else None


def pattern(glob: str) -> re.Pattern[str]:
    """What ``match`` means: to be searched for in a target URI. Raises ValueError."""
    return _glob(glob)


def _regex(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ValueError(f"regex = {regex!r} is not a regular expression: {error}") from None


def _glob(glob: str) -> re.Pattern[str]:
    if not (parts := _GLOB.fullmatch(glob)):
        raise ValueError(f"match = {glob!r} is not like http://*.example/**/*.deb")
    if "***" in glob or "#" in glob:
        raise ValueError(f"match = {glob!r} has *** or a fragment, which match nothing")
    scheme, authority, path = parts[1].lower(), parts[2].lower(), parts[3]
    # Target URIs are normalised: no default port.
    authority = authority.removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")
    path, mark, query = path.partition("?")
    text = rf"\A{_translated(f'{scheme}://{authority}{path}')}"
    return re.compile(rf"{text}\?{_any(query)}\Z" if mark else rf"{text}(?:\?|\Z)", re.DOTALL)


def _translated(glob: str) -> str:
    wildcards = {"*": "[^/?]*", "**": "[^?]*", "**/": "(?:[^?]*/)?"}
    return "".join(wildcards.get(part) or re.escape(part) for part in _WILDCARD.split(glob))


def _any(glob: str) -> str:
    return ".*".join(map(re.escape, re.split(r"\*+", glob)))


@lru_cache(maxsize=256)
def _names(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_any, globs)))
