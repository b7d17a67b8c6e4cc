"""Rules: what an origin fails to say, a person may, for the target URIs that a pattern matches.

A glob is matched against the whole normalised target URI: ``*`` stands for anything within the
host or one path segment, ``**`` also for slashes, ``**/`` also for no segment at all. Only a glob
with a ``?`` looks at the query. A regular expression is searched for, in URIs of up to 2 KiB; where
it says that nothing is to be stored, longer ones are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.semantics.globs import Glob
from proxy.semantics.targets import DEFAULT_PORTS

if TYPE_CHECKING:
    from proxy.semantics.targets import TargetURI
    from proxy.semantics.units import Octets, Seconds

_GLOB: Final = re.compile(r"([a-z*]+)://([^/?]+)(/.*)", re.IGNORECASE)
# Octets of a URI in which a regex is searched for. Nobody bounds its steps but by this. A longer
# one is for no rule by regex that says more than the origin does, but for those that forbid to
# store.
LONGEST_SEARCHED: Final = 2048


class _Compiled:
    """Keeps the pattern beside the settings it is made from: neither compared nor shown."""

    __slots__ = ("_pattern",)
    _pattern: TargetGlob | _Searched


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
        pattern = TargetGlob(self.match) if self.match else _Searched(self.regex)
        object.__setattr__(self, "_pattern", pattern)

    def applies(self, uri: TargetURI) -> bool:
        """Whether the rule is for this target URI.

        What is too long to be searched may be what ``regex`` means: then it is not to be stored.
        """
        text = str(uri)
        if self.regex and len(text) > LONGEST_SEARCHED:
            return not self.cache
        return self._pattern.matches(text)

    def ignored(self, parameter: str) -> bool:
        """Whether the query parameter of that name does not belong to the key."""
        return any(glob.matches(parameter) for glob in _names(self.ignore_query))


def first(rules: tuple[Rule, ...], uri: TargetURI) -> Rule | None:
    """The rule for this target URI, None when none applies."""
    return next((rule for rule in rules if rule.applies(uri)), None) if rules else None


class TargetGlob:
    """What ``match`` means."""

    __slots__ = ("_path", "_query")

    def __init__(self, glob: str) -> None:
        """Raises ValueError."""
        if not (parts := _GLOB.fullmatch(glob)):
            raise ValueError(f"match = {glob!r} is not like http://*.example/**/*.deb")
        if "***" in glob or "#" in glob:
            raise ValueError(f"match = {glob!r} has *** or a fragment, which match nothing")
        scheme, authority, path = parts[1].lower(), parts[2].lower(), parts[3]
        # Target URIs are normalised: no default port.
        authority = authority.removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")
        path, mark, query = path.partition("?")
        self._path = Glob(f"{scheme}://{authority}{path}", apart="/", across="")
        self._query = Glob(query) if mark else None

    def matches(self, uri: str) -> bool:
        """Whether it stands for the whole target URI."""
        path, mark, query = uri.partition("?")
        if self._query is not None and not (mark and self._query.matches(query)):
            return False
        return self._path.matches(path)


class _Searched:
    """A regular expression of a person's own, which may take long for what is long."""

    __slots__ = ("_pattern",)

    def __init__(self, regex: str) -> None:
        try:
            self._pattern = re.compile(regex)
        except re.error as error:
            raise ValueError(f"regex = {regex!r} is not a regular expression: {error}") from None

    def matches(self, uri: str) -> bool:
        return self._pattern.search(uri) is not None


@lru_cache(maxsize=256)
def _names(globs: tuple[str, ...]) -> tuple[Glob, ...]:
    return tuple(map(Glob, globs))
