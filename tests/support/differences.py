"""What a client gets through the proxy, held against what it gets directly.

``ALLOWED`` is the whole list of what may differ, each row with its reason. Everything else that
differs is a fault of the proxy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.asking import value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.asking import Ask, Seen

_MARKED: Final = re.compile(r'^(?:W/)?"(.*)~forecache\.[a-z]+"$')
# RFC 9110 §15.4.5: what a 304 has of the fields of a 200.
_OF_304: Final = {"etag", "cache-control", "content-location", "expires", "vary"}
_PART: Final = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Pair:
    """One request and what was seen of its answers.

    ``forms``: whole answers of the origin's, in each coding that was asked for; ``own``: the coding
    is the object's own; ``parts``: somebody has asked for some.
    """

    ask: Ask
    direct: Seen
    proxied: Seen
    forms: tuple[Seen, ...] = ()
    own: bool = False
    parts: bool = False

    @property
    def other_form(self) -> bool:
        """The client gets the same in another coding, which its request accepts."""
        other = self.direct.coding != self.proxied.coding
        return other and not self.own and accepts(self.ask, self.proxied.coding)

    @property
    def sliced(self) -> bool:
        """A part that was asked for, where the origin would have sent everything."""
        statuses = (self.direct.status, self.proxied.status)
        return statuses == (200, 206) and self.ask.header("range") is not None

    @property
    def outside(self) -> bool:
        """No such part, said where the origin would have sent everything."""
        statuses = (self.direct.status, self.proxied.status)
        return statuses == (200, 416) and self.ask.header("range") is not None

    @property
    def confirmed(self) -> bool:
        """304 to a client that holds what the origin would have sent once more, or part of it."""
        sent = self.direct.status // 100 == 2 or self.direct.status == 416
        return sent and self.proxied.status == 304 and self.holds

    @property
    def holds(self) -> bool:
        held = value_of("if-none-match", self.proxied.asked)
        if held is None:
            since = value_of("if-modified-since", self.proxied.asked)
            return since is not None and since == self.direct.get("last-modified")
        tags = {form.get("etag") for form in (self.direct, *self.forms)}
        mine = {_origins(tag) for tag in re.findall(r'(?:W/)?"[^"]*"', held)}
        return held == "*" or bool(mine & {_origins(tag) for tag in tags if tag})

    @property
    def failed(self) -> bool:
        """The origin gave no answer that could be understood, and the proxy says so."""
        own = self.proxied.get("proxy-status") is not None
        return self.direct.end != "whole" and own and self.proxied.status in (502, 503, 504)

    @property
    def broken(self) -> bool:
        """Both break off, in codings that are not the same."""
        both = self.direct.end == self.proxied.end == "cut"
        return both and self.direct.status == self.proxied.status and self.other_form

    @property
    def moved(self) -> bool:
        """The client holds the tag of one form, or none, and what is stored is another."""
        held, tag = value_of("if-none-match", self.proxied.asked), self.proxied.get("etag")
        other = held is None or (tag is not None and tag not in held and held != "*")
        return (self.direct.status, self.proxied.status) == (304, 200) and other and _whole(self)

    @property
    def empty(self) -> bool:
        """A part of octets that another form has; this one has none."""
        statuses = (self.direct.status, self.proxied.status)
        none = self.other_form and self.proxied.get("content-length") == "0"
        return statuses == (206, 200) and none and self.proxied.end == "whole"

    @property
    def refused(self) -> bool:
        """The origin judges a tag that is not the one which it gave that client directly."""
        was, got = (value_of("if-match", each.asked) for each in (self.direct, self.proxied))
        return self.proxied.status == 412 and was != got


class Allowed(NamedTuple):
    """``aspect``: a field in small letters, or "status", "body", "end", "interim", "all"."""

    aspect: str
    when: Callable[[Pair], bool]
    reason: str


def _always(_: Pair) -> bool:
    return True


def _added(name: str) -> Callable[[Pair], bool]:
    return lambda pair: pair.direct.get(name) is None


def _left_out_of_a_part(name: str) -> Callable[[Pair], bool]:
    """Of a part that the cache has cut, and of a whole that was joined of parts."""
    return lambda pair: pair.parts and pair.proxied.get(name) is None


_HOP_BY_HOP: Final = (
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip

# What an origin says of the whole is not said of a part that the cache has cut.
_OF_CONTENT: Final = (
    "content-digest", "content-md5", "x-amz-checksum-crc32", "x-amz-checksum-sha256",
    "x-amz-checksum-crc64nvme",
)  # fmt: skip

ALLOWED: Final = (
    Allowed("all", lambda p: p.failed, "RFC 9110 15.6.3: what is no answer is one of a gateway's"),
    Allowed(
        "all", lambda p: p.moved, "RFC 9110 8.8.3.3: another form is stored than the client has"
    ),
    Allowed("all", lambda p: p.broken, "what breaks off is the same in no two codings"),
    Allowed("all", lambda p: p.empty, "RFC 9110 14.1.2: what is empty has no parts"),
    Allowed("all", lambda p: p.refused, "RFC 9110 13.1.1: the client holds another form's tag"),
    *(Allowed(name, _always, "RFC 9110 7.6.1: of one connection") for name in _HOP_BY_HOP),
    Allowed("via", _always, "RFC 9110 7.6.3: a proxy names itself"),
    Allowed("age", _always, "RFC 9111 5.1: a stored response says how old it is"),
    Allowed("cache-status", _always, "RFC 9211: what the cache did"),
    Allowed("proxy-status", _always, "RFC 9209: what the proxy did"),
    Allowed("proxy-support", _added("proxy-support"), "RFC 4559 6: logins of connections are kept"),
    *(
        Allowed(name, _left_out_of_a_part(name), "RFC 9530 2: of the octets of a message")
        for name in _OF_CONTENT
    ),
    Allowed("date", _added("date"), "RFC 9110 6.6.1: added by whoever receives it without"),
    Allowed(
        "vary",
        lambda p: (
            _members(p.proxied, "vary") - _members(p.direct, "vary") <= {"accept-encoding"}
            and _members(p.direct, "vary") <= _members(p.proxied, "vary")
        ),
        "RFC 9110 12.5.5: the form depends on it here, too",
    ),
    Allowed(
        "set-cookie",
        lambda p: 'no-cache="set-cookie"' in (p.direct.get("cache-control") or ""),
        "RFC 9111 5.2.2.4: a field that the origin does not want reused",
    ),
    Allowed("content-encoding", lambda p: p.other_form, "a form that this client asked for"),
    Allowed(
        "content-length",
        lambda p: p.other_form and p.proxied.get("content-length") is not None,
        "the length of the form sent, which the reader of it has checked",
    ),
    Allowed(
        "content-length",
        lambda p: _members(p.direct, "content-length") == _members(p.proxied, "content-length"),
        "RFC 9110 8.6: a length that is said twice is one",
    ),
    Allowed(
        "body",
        lambda p: p.ask.minor == 0 and p.direct.end == p.proxied.end == "cut",
        "RFC 9112 8: without chunks only a reset tells of a cut, and takes octets with it",
    ),
    Allowed("content-length", _added("content-length"), "a stored body has a known length"),
    Allowed(
        "content-length",
        lambda p: p.other_form and "collapsed" in (p.proxied.get("cache-status") or ""),
        "a form of what is still coming has no known length",
    ),
    Allowed("content-length", lambda p: p.sliced, "of the part"),
    Allowed(
        "etag",
        lambda p: (p.other_form or not p.own) and _tag_of_form(p),
        "RFC 9110 8.8.3.3: each form has its own tag, the origin's or a marked one",
    ),
    Allowed("accept-ranges", _added("accept-ranges"), "a stored body has ranges"),
    Allowed(
        "trailers",
        lambda p: not p.proxied.trailers and "; hit" in (p.proxied.get("cache-status") or ""),
        "RFC 9111 3.1: what is stored may be without them",
    ),
    Allowed("status", lambda p: p.sliced, "RFC 9110 14.2: a stored body has ranges"),
    Allowed("status", lambda p: p.outside, "RFC 9110 14.2: a stored body has ranges"),
    Allowed("end", lambda p: p.outside or p.confirmed, "without a body there is nothing to be cut"),
    Allowed("content-range", lambda p: p.sliced or p.other_form, "of the part of the form sent"),
    Allowed("status", lambda p: p.confirmed, "RFC 9111 4.3.2: what is stored may answer that"),
)


def accepts(ask: Ask, coding: str) -> bool:
    """RFC 9110 §12.5.3 in the plainest words; no field at all is no wish for any coding."""
    weights = {}
    for member in (ask.accept or "identity").lower().split(","):
        name, _, weight = member.partition(";")
        weights[name.strip()] = float(weight.strip().removeprefix("q=") or 1)
    default = 1.0 if coding == "identity" and "*" not in weights else weights.get("*", 0.0)
    return weights.get(coding, default) > 0


def differences(pair: Pair) -> list[str]:
    """What is not the same and may not differ, one line for each aspect."""
    direct, proxied = pair.direct, pair.proxied
    if any(row.aspect == "all" and row.when(pair) for row in ALLOWED):
        return []
    found = [f"{aspect}: {_shown(was)}, not {_shown(got)}" for aspect, was, got in _unlike(pair)]
    elsewhere = pair.sliced or pair.outside or pair.confirmed  # other octets than were awaited
    if proxied.late and not direct.late and not elsewhere:
        found.append(f"when: {proxied.late!r} came only when more had been sent")
    assert not direct.late, f"the row is wrong: {direct.late!r} is late without a proxy"
    return found


def _unlike(pair: Pair) -> list[tuple[str, object, object]]:
    direct, proxied = pair.direct, pair.proxied
    aspects: list[tuple[str, object, object]] = [
        ("status", direct.status, proxied.status),
        ("end", direct.end, proxied.end),
        ("interim", _interim(direct), _interim(proxied)),
        ("trailers", direct.trailers, proxied.trailers),
    ]
    names = sorted({key.lower() for key, _ in [*direct.fields, *proxied.fields]})
    aspects += [(n, direct.all(n), proxied.all(n)) for n in names if _compared(pair, n)]
    was, got = _bodies(pair)
    aspects.append(("body", was, got))
    return [
        (aspect, was, got)
        for aspect, was, got in aspects
        if was != got and not any(row.aspect == aspect and row.when(pair) for row in ALLOWED)
    ]


def _compared(pair: Pair, name: str) -> bool:
    if pair.direct.status == pair.proxied.status == 416:
        return name == "content-range"
    if pair.outside:
        return False
    if 304 in (pair.direct.status, pair.proxied.status):
        one, other = pair.direct.get(name), pair.proxied.get(name)
        return name in _OF_304 and one is not None and other is not None
    return True


def _bodies(pair: Pair) -> tuple[object, object]:
    """The octets where they are in the same form, else what the client decodes."""
    direct, proxied = pair.direct, pair.proxied
    if pair.confirmed or pair.outside:
        return b"", proxied.octets
    if pair.sliced and direct.end == proxied.end == "cut":
        return b"", b""  # of a whole that nobody has seen
    if pair.sliced or (pair.other_form and direct.status == proxied.status == 206):
        parts = _parts(pair)
        return (b"", b"") if proxied.octets in parts else (parts, proxied.octets)
    if direct.octets == proxied.octets and direct.coding == proxied.coding:
        return b"", b""
    if direct.text is None or proxied.text is None:
        return direct.octets, proxied.octets
    return direct.text, proxied.text


def _parts(pair: Pair) -> list[bytes]:
    """What the part sent may be: that of any whole in its coding that is as long as it says."""
    coding, ranged = pair.proxied.coding, pair.proxied.get("content-range") or ""
    if not (part := _PART.fullmatch(ranged)):
        return []
    wholes = [form.octets if form.coding == coding else form.text or b"" for form in pair.forms]
    first, last, size = (int(number) for number in part.groups())
    return [whole[first : last + 1] for whole in wholes if len(whole) == size]


def _whole(pair: Pair) -> bool:
    """Whether the body is that of a form the origin has; a HEAD is without."""
    texts = {form.text for form in pair.forms}
    return pair.ask.method == "HEAD" or pair.proxied.text in texts


def _interim(seen: Seen) -> list[tuple[int, list[tuple[str, str]]]]:
    unlike = {"via", "date"}
    return [
        (head.status, [line for line in head.lines if line[0].lower() not in unlike])
        for head in seen.interim
    ]


def _members(seen: Seen, name: str) -> set[str]:
    return {each.strip().lower() for each in (seen.get(name) or "").split(",")} - {""}


def _origins(tag: str) -> str:
    """What is between the quotes, without our mark."""
    marked = _MARKED.match(tag)
    return marked[1] if marked else tag.removeprefix("W/").strip('"')


def _tag_of_form(pair: Pair) -> bool:
    """The origin's tag of the form that was sent, or a mark on that of another."""
    tag = pair.proxied.get("etag")
    if _MARKED.match(tag or "") or pair.proxied.status == 304:
        return _origins(tag or "") in {_origins(form.get("etag") or "") for form in pair.forms}
    return (pair.proxied.coding, tag) in {(form.coding, form.get("etag")) for form in pair.forms}


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        shown = repr(value[:80]) + ("..." if len(value) > 80 else "")
        return f"{len(value)} octets {shown}"
    return repr(value)
