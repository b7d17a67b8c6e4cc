"""Which form a client gets of what is stored, and what its fields say then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.codings.transform import (
    MARK,
    AsStored,
    Decode,
    Encode,
    Form,
    Kept,
    as_held,
    choose,
    head_of,
    sliceable,
    unmarked,
)
from proxy.semantics import preconditions, ranges
from proxy.semantics.messages import ResponseHead
from proxy.semantics.negotiation import accepted
from proxy.semantics.validators import ETag, parse_etag
from tests.support.build import fields, req

if TYPE_CHECKING:
    from proxy.semantics.messages import Request

law = settings(derandomize=True, max_examples=50, deadline=None)

ZSTD, BR, GZIP, DEFLATE = Coding.ZSTD, Coding.BR, Coding.GZIP, Coding.DEFLATE
IDENTITY: Final = Coding.IDENTITY
FIXED, PLAIN = AsStored(), AsStored(negotiated=True)
FOR_ALL = AsStored(negotiated=True, for_all=True)
AUTO, ALWAYS, NEVER = (
    CodingOptions(),
    CodingOptions(encode="always"),
    CodingOptions(encode="never"),
)
TEXT: Final = "Content-Type: text/html; charset=utf-8"
URL: Final = "http://a.example/x"


def get(*lines: str, accept: str | None = None, url: str = URL, method: str = "GET") -> Request:
    """A request with that Accept-Encoding, None for none."""
    more = () if accept is None else (f"Accept-Encoding: {accept}",)
    return req(f"{method} {url}", *more, *lines)


def stored(*lines: str, coding: str = "", status: int = 200) -> ResponseHead:
    """Text in that coding, "" for none; later lines replace earlier ones of their name."""
    found = fields(TEXT, *([f"Content-Encoding: {coding}"] if coding else []))
    for name, value in fields(*lines):
        found = found.replacing(name, value)
    return ResponseHead(status, "", found)


# Which form: what is stored, what the client accepts, and what it gets with encode = "always".

CHOICES: Final[dict[str, dict[str | None, Form]]] = {
    "": {
        None: PLAIN,
        "": PLAIN,
        "identity": PLAIN,
        "gzip": Encode(GZIP),
        "br": Encode(BR),
        "zstd": Encode(ZSTD),
        "*": PLAIN,
        "gzip;q=0": PLAIN,
        "identity;q=0": PLAIN,
        "deflate": PLAIN,
        "gzip, deflate": Encode(GZIP),
        "gzip, deflate, br, zstd": Encode(ZSTD),
        "gzip, br;q=0.9": Encode(GZIP),
        "gzip;q=0.5, identity": PLAIN,
        "gzip;q=0.5, identity;q=0.5": Encode(GZIP),
        "identity;q=0.5, *": PLAIN,
        "identity;q=0, *;q=0.1": Encode(ZSTD),
        "identity;q=0, gzip": Encode(GZIP),
        "*;q=0": PLAIN,
    },
    "gzip": {
        None: Decode((GZIP,)),
        "": Decode((GZIP,)),
        "identity": Decode((GZIP,)),
        "gzip": PLAIN,
        "x-gzip;q=0.001": PLAIN,
        "br": Encode(BR, (GZIP,)),
        "zstd": Encode(ZSTD, (GZIP,)),
        "*": PLAIN,
        "gzip;q=0": Decode((GZIP,)),
        "gzip;q=0, *": Decode((GZIP,)),
        "identity;q=0": PLAIN,
        "identity;q=0, *": PLAIN,
        "deflate": Decode((GZIP,)),
        "br;q=0.1, identity": Decode((GZIP,)),
        "*;q=0": PLAIN,
    },
    "br": {
        None: Decode((BR,)),
        "gzip, deflate": Encode(GZIP, (BR,)),
        "br": PLAIN,
        "br;q=0.1, gzip, identity": PLAIN,
        "identity;q=0, gzip": Encode(GZIP, (BR,)),
        "deflate": Decode((BR,)),
    },
    "zstd": {None: Decode((ZSTD,)), "gzip": Encode(GZIP, (ZSTD,)), "zstd": PLAIN},
    "deflate": {
        None: Decode((DEFLATE,)),
        "deflate": PLAIN,
        "gzip": Encode(GZIP, (DEFLATE,)),
        "identity": Decode((DEFLATE,)),
    },
    "gzip, br": {
        "gzip, br": PLAIN,
        "br": Encode(BR, (GZIP, BR)),
        "identity": Decode((GZIP, BR)),
    },
    "unknown": {None: FIXED, "": FIXED, "identity": FIXED, "gzip": FIXED, "*": FIXED},
}
CHOSEN = [
    pytest.param(coding, accept, form, id=f"{coding or 'identity'} to {accept}")
    for coding, row in CHOICES.items()
    for accept, form in row.items()
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("coding", "accept", "form"), CHOSEN)
def test_choice(coding: str, accept: str | None, form: Form, method: str) -> None:
    request = get(accept=accept, method=method)
    assert choose(request, stored(coding=coding), 5000, ALWAYS, False) == form


@pytest.mark.parametrize(("coding", "accept", "form"), CHOSEN)
@pytest.mark.parametrize(
    ("options", "local"),
    [(NEVER, False), (NEVER, True), (AUTO, True)],
    ids=["no", "no here", "auto"],
)
def test_choice_without_encoding(
    coding: str, accept: str | None, form: Form, options: CodingOptions, *, local: bool
) -> None:
    """What would be encoded is decoded or left; but who refuses identity is helped in "auto"."""
    expected = form
    refused = accepted(get(accept=accept).fields).q("identity") == 0
    match form:
        case Encode(chain=chain) if options is NEVER or not refused:
            expected = Decode(chain) if chain and not refused else PLAIN
    if options is NEVER and not coding:
        expected = FIXED
    elif not coding and expected == PLAIN:
        # Who says nothing of codings, nor asks for a part, has nothing to do with forms.
        expected = FIXED if accept is None else FOR_ALL
    assert choose(get(accept=accept), stored(coding=coding), 5000, options, local) == expected


@pytest.mark.parametrize(
    ("coding", "accept", "kept", "local", "form"),
    [
        pytest.param("", "gzip, br", {GZIP}, True, Kept(GZIP), id="kept is no work: local, too"),
        pytest.param("", "gzip, br", {GZIP}, False, Kept(GZIP), id="kept before preferred"),
        pytest.param("", "gzip, br", {GZIP, BR}, False, Kept(BR), id="the preferred of those kept"),
        pytest.param("", "gzip, br;q=0.5", {GZIP, BR}, False, Kept(GZIP), id="as the client likes"),
        pytest.param("", "br", {GZIP}, False, Encode(BR), id="another is kept"),
        pytest.param("", "br", {GZIP}, True, FOR_ALL, id="another is kept, local"),
        pytest.param("", "identity", {GZIP}, False, PLAIN, id="none is wanted"),
        pytest.param("", "*", {GZIP}, True, FOR_ALL, id="asterisk alone"),
        pytest.param("br", "gzip", {GZIP}, True, Kept(GZIP), id="instead of decoding"),
        pytest.param("br", "gzip", {IDENTITY}, True, Kept(IDENTITY), id="decoded and kept"),
        pytest.param("br", None, {IDENTITY, GZIP}, True, Kept(IDENTITY), id="absent: identity"),
        pytest.param("br", "br", {IDENTITY, GZIP}, True, PLAIN, id="stored before kept"),
    ],
)
def test_choice_with_kept_forms(
    coding: str, accept: str | None, kept: set[Coding], form: Form, *, local: bool
) -> None:
    assert choose(get(accept=accept), stored(coding=coding), 5000, AUTO, local, kept) == form
    if form == Kept(GZIP):
        without = choose(get(accept=accept), stored(coding=coding), 5000, NEVER, local, kept)
        assert not isinstance(without, Kept)


@pytest.mark.parametrize(
    ("head", "length", "accept", "form"),
    [
        pytest.param(stored(), 1024, "gzip", Encode(GZIP), id="large enough"),
        pytest.param(stored(), 1023, "gzip", FOR_ALL, id="too small"),
        pytest.param(stored(), 1023, "gzip, identity;q=0", Encode(GZIP), id="small, but refused"),
        pytest.param(stored(), None, "gzip", Encode(GZIP), id="length not known"),
        pytest.param(stored(coding="br"), 1023, "gzip", Decode((BR,)), id="small when coded"),
        pytest.param(stored(), 0, "gzip, identity;q=0", FIXED, id="empty"),
        pytest.param(stored(coding="gzip"), 0, "identity", FIXED, id="empty and called gzip"),
        pytest.param(stored("Content-Type: image/png"), 5000, "gzip", FIXED, id="does not shrink"),
        pytest.param(stored("Content-Type:"), 5000, "gzip", FIXED, id="no type"),
        pytest.param(
            stored("Content-Type: application/octet-stream", coding="br"),
            5000,
            "gzip",
            Decode((BR,)),
            id="decoded, not encoded again",
        ),
        pytest.param(
            stored("Content-Type: application/octet-stream", coding="br"),
            5000,
            "gzip, identity;q=0",
            Encode(GZIP, (BR,)),
            id="8.3 no other way",
        ),
    ],
)
def test_what_is_worth_encoding(
    head: ResponseHead, length: int | None, accept: str, form: Form
) -> None:
    assert choose(get(accept=accept), head, length, AUTO, False) == form


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        ("text/plain", True),
        ("TEXT/CSS;charset=x", True),
        ("application/json", True),
        ("application/vnd.pypi.simple.v1+json", True),
        ("application/atom+xml", True),
        ("image/svg+xml", True),
        ("application/wasm", True),
        ("font/ttf", True),
        ("font/woff2", False),
        ("image/jpeg", False),
        ("application/zip", False),
        ("application/octet-stream", False),
        ("application/jsonx", False),
        ("application/a/b+json", False),
        ("multipart/byteranges", False),
        ("text", False),
    ],
)
def test_types(kind: str, *, encoded: bool) -> None:
    form = choose(get(accept="br"), stored(f"Content-Type: {kind}"), 5000, AUTO, False)
    assert isinstance(form, Encode) is encoded


def test_no_types() -> None:
    options = CodingOptions(types=())
    assert choose(get(accept="br"), stored(), 5000, options, False) == FIXED


def test_preference_settles_what_the_client_likes_as_much() -> None:
    options = CodingOptions(prefer=(GZIP, BR))
    assert choose(get(accept="zstd, br, gzip"), stored(), 5000, options, False) == Encode(GZIP)


# What the fields say.

WHOLE: Final = [
    "Content-Length: 10",
    'ETag: "v1"',
    "Accept-Ranges: bytes",
    "Content-Digest: sha-256=:x:",
    "Repr-Digest: sha-256=:x:",
    "Digest: sha-256=x",
    "Content-MD5: x",
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
]
LEFT: Final = [TEXT, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"]
ENCODED: Final = [*LEFT, 'ETag: W/"v1~forecache.gzip"', "Content-Encoding: gzip"]
DECODED: Final = 'ETag: "v1~forecache.identity"'
VARY: Final = "Vary: Accept-Encoding"


@pytest.mark.parametrize(
    ("form", "coding", "lines"),
    [
        pytest.param(FIXED, "br", [TEXT, "Content-Encoding: br", *WHOLE], id="fixed: nothing"),
        pytest.param(PLAIN, "br", [TEXT, "Content-Encoding: br", *WHOLE, VARY], id="12.5.5 Vary"),
        pytest.param(Decode((BR,)), "br", [*LEFT, DECODED, VARY], id="8.8.3.3 decoded"),
        pytest.param(Encode(GZIP), "", [*ENCODED, VARY], id="8.8.3.3 encoded"),
        pytest.param(Encode(GZIP, (BR,)), "br", [*ENCODED, VARY], id="8.8.3.3 encoded anew"),
        pytest.param(Kept(GZIP), "", [*ENCODED, VARY], id="8.8.3.3 encoded and kept"),
        pytest.param(
            Kept(IDENTITY),
            "br",
            [TEXT, "Accept-Ranges: bytes", LEFT[1], DECODED, VARY],
            id="8.8.3.3 decoded and kept",
        ),
    ],
)
def test_fields(form: Form, coding: str, lines: list[str]) -> None:
    assert head_of(stored(*WHOLE, coding=coding), form) == fields(*lines)


@pytest.mark.parametrize("form", [PLAIN, Decode((BR,)), Encode(GZIP), Kept(GZIP)], ids=repr)
@pytest.mark.parametrize(
    ("vary", "combined"),
    [
        pytest.param([], "Accept-Encoding", id="12.5.5 none"),
        pytest.param(["Origin"], "Origin, Accept-Encoding", id="12.5.5 another"),
        pytest.param(
            ["Origin", "accept-encoding"], "Origin, accept-encoding", id="12.5.5 not twice"
        ),
        pytest.param(["*"], "*", id="12.5.5 asterisk has it all"),
    ],
)
def test_vary(form: Form, vary: list[str], combined: str) -> None:
    head = ResponseHead(200, "", fields(*(f"Vary: {each}" for each in vary)))
    assert head_of(head, form).get("vary") == combined


@pytest.mark.parametrize(
    ("tag", "decoded", "encoded"),
    [
        pytest.param('W/"v1"', 'W/"v1"', 'W/"v1"', id="8.8.1 weak: stands for all forms"),
        pytest.param('""', '"~forecache.identity"', 'W/"~forecache.br"', id="8.8.3 empty"),
        pytest.param("v1", None, None, id="8.8.3 no tag: cannot be marked"),
        pytest.param('"a", "b"', None, None, id="8.8.3 two"),
    ],
)
def test_tags(tag: str, decoded: str | None, encoded: str | None) -> None:
    head = stored(f"ETag: {tag}")
    assert head_of(head, Decode((GZIP,))).get("etag") == decoded
    assert head_of(head, Encode(BR)).get("etag") == encoded
    assert head_of(head, PLAIN).get("etag") == tag
    assert head_of(head, FOR_ALL) is head.fields


def test_a_tag_is_never_that_of_two_forms() -> None:
    forms: list[Form] = [PLAIN, Decode((BR,)), Encode(GZIP), Encode(ZSTD), Encode(BR)]
    tags = [parse_etag(head_of(stored(*WHOLE), form).get("etag") or "") for form in forms]
    assert len({tag.opaque for tag in tags if tag is not None}) == len(forms)


# Tags that come back.


@pytest.mark.parametrize(
    ("lines", "own"),
    [
        pytest.param(['If-None-Match: "a"'], ['If-None-Match: "a"'], id="13.1.2 no mark"),
        pytest.param(
            ['If-None-Match: "a~forecache.identity"'], ['If-None-Match: "a"'], id="13.1.2 decoded"
        ),
        pytest.param(
            ['If-None-Match: W/"a~forecache.gzip"'], ['If-None-Match: "a"'], id="13.1.2 encoded"
        ),
        pytest.param(
            ['If-None-Match: "a" , W/"b~forecache.br",W/"c"'],
            ['If-None-Match: "a" , "b",W/"c"'],
            id="13.1.2 among others",
        ),
        pytest.param(
            ['If-Match: "a~forecache.identity"', "X: y"], ["X: y", 'If-Match: "a"'], id="13.1.1"
        ),
        pytest.param(['If-Match: W/"a~forecache.zstd"'], ['If-Match: "a"'], id="13.1.1 encoded"),
        pytest.param(
            ['If-Range: "a~forecache.identity"'],
            ['If-Range: "a~forecache.identity"'],
            id="13.1.5 those octets are not the origin's",
        ),
        pytest.param(
            ['If-None-Match: W/"a~forecache.gzip~forecache.br"'],
            ['If-None-Match: "a"'],
            id="marked by two proxies",
        ),
        pytest.param(
            ['If-None-Match: "a~forecache.lzma"'],
            ['If-None-Match: "a~forecache.lzma"'],
            id="no mark of ours",
        ),
        pytest.param(
            [f'If-None-Match: "{"a" * 300}~forecache.br"'],
            [f'If-None-Match: "{"a" * 300}"'],
            id="long: not remembered",
        ),
        pytest.param(["If-None-Match: *"], ["If-None-Match: *"], id="13.1.2 asterisk"),
    ],
)
def test_unmarked(lines: list[str], own: list[str]) -> None:
    found = unmarked(fields(*lines))
    assert found == fields(*own)
    assert unmarked(found) is found


TAGS = st.builds(
    ETag, st.from_regex(r"[\x21\x23-\x7e\x80-\xff]{0,9}", fullmatch=True), st.booleans()
)
FORMS: Final[list[Form]] = [PLAIN, Decode((BR,)), Encode(GZIP, (BR,)), Kept(ZSTD), Kept(IDENTITY)]


@law
@given(st.lists(st.tuples(TAGS, st.sampled_from(FORMS)), min_size=1))
def test_what_goes_out_marked_comes_back_as_the_origin_has_it(
    sent: list[tuple[ETag, Form]],
) -> None:
    marked = [head_of(stored(f"ETag: {tag}"), form).get("etag") for tag, form in sent]
    found = unmarked(fields(f"If-None-Match: {', '.join(map(str, marked))}"))
    assert found.get("if-none-match") == ", ".join(str(tag) for tag, _ in sent)


@pytest.mark.parametrize(
    ("asked", "tag", "known"),
    [
        pytest.param('"v1~forecache.identity"', '"v1"', '"v1~forecache.identity"', id="decoded"),
        pytest.param('W/"v1~forecache.gzip"', '"v1"', 'W/"v1~forecache.gzip"', id="encoded"),
        pytest.param('"x", "v1~forecache.br"', 'W/"v1"', '"v1~forecache.br"', id="among others"),
        pytest.param('"v1"', '"v1"', '"v1"', id="as it is"),
        pytest.param('"v1", "x~forecache.br"', '"v1"', '"v1"', id="as it is, another marked"),
        pytest.param('"v1", "x~forecache.br"', 'W/"v1"', 'W/"v1"', id="weak, as it is"),
        pytest.param('"v1~forecache.br", "v1"', '"v1"', None, id="which one cannot be said"),
        pytest.param('"x~forecache.br"', '"v1"', '"v1"', id="another"),
        pytest.param("~forecache.br", '"v1"', '"v1"', id="no tags"),
        pytest.param('"v1~forecache.br"', "v1", "v1", id="304 with no tag"),
        pytest.param(None, '"v1"', '"v1"', id="no If-None-Match"),
    ],
)
def test_a_304_names_the_tag_that_the_client_has(
    asked: str | None, tag: str, known: str | None
) -> None:
    lines = () if asked is None else (f"If-None-Match: {asked}",)
    head = ResponseHead(304, "", fields(f"ETag: {tag}", "Date: x"))
    found = as_held(head, fields(*lines))
    assert found.get("etag") == known
    assert found.get("date") == "x"


# A download that is resumed, and validation: by the fields that go out, each with the request
# as the client sent it.


def answer(request: Request, head: ResponseHead, kept: set[Coding]) -> tuple[Form, ranges.Plan]:
    form = choose(request, head, 5000, AUTO, True, kept)
    if not sliceable(request, form):
        return form, ranges.Whole()
    return form, ranges.plan(request, ResponseHead(200, "", head_of(head, form)), 5000)


MODIFIED: Final = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
SECOND: Final = ranges.Single(1, 4999)
IF_V1: Final = 'If-Range: "v1"'
IF_DATE: Final = "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("accept", "condition", "coding", "kept", "plan"),
    [
        pytest.param("gzip", IF_V1, "gzip", set(), SECOND, id="13.1.5 the stored octets"),
        pytest.param("gzip", "X: y", "gzip", set(), SECOND, id="14.2 without If-Range"),
        pytest.param("gzip", f"If-Range: W/{IF_V1[10:]}", "gzip", set(), None, id="13.1.5 weak"),
        pytest.param("gzip", IF_DATE, "gzip", set(), None, id="13.1.5 a date names no form"),
        pytest.param("gzip", IF_DATE, "", set(), None, id="13.1.5 nor of what may be encoded"),
        pytest.param("gzip", IF_DATE, "compress", set(), SECOND, id="13.1.5 a date, one form"),
        pytest.param("identity", IF_V1, "gzip", set(), None, id="decoded: no ranges"),
        pytest.param(
            "identity", DECODED.replace("ETag", "If-Range"), "gzip", set(), None, id="nor"
        ),
        pytest.param("identity", "X: y", "gzip", set(), None, id="decoded: nor blindly"),
        pytest.param(
            "gzip",
            DECODED.replace("ETag", "If-Range"),
            "gzip",
            {IDENTITY},
            None,
            id="13.1.5 began decoded, goes on coded",
        ),
        pytest.param(
            "identity",
            DECODED.replace("ETag", "If-Range"),
            "gzip",
            {IDENTITY},
            SECOND,
            id="13.1.5 decoded and kept",
        ),
        pytest.param("identity", IF_V1, "gzip", {IDENTITY}, None, id="13.1.5 began coded"),
        pytest.param("identity", IF_DATE, "gzip", {IDENTITY}, None, id="13.1.5 decoded, date"),
        pytest.param("gzip", IF_V1, "", {GZIP}, None, id="13.1.5 encoded and kept"),
        pytest.param("gzip", "X: y", "", {GZIP}, None, id="encoded and kept, blindly"),
    ],
)
def test_no_two_codings_are_spliced(
    accept: str, condition: str, coding: str, kept: set[Coding], plan: ranges.Plan | None
) -> None:
    head = stored('ETag: "v1"', MODIFIED, "Date: Sun, 06 Nov 1994 09:49:37 GMT", coding=coding)
    request = get("Range: bytes=1-", condition, accept=accept)
    assert answer(request, head, kept)[1] == (plan or ranges.Whole())


@law
@given(st.sampled_from([None, "", "gzip", "br", "*"]), st.sampled_from(["", "gzip", "br"]))
def test_only_the_form_that_a_tag_names_is_not_modified(accept: str | None, coding: str) -> None:
    head = stored('ETag: "v1"', coding=coding)
    tags = {}
    for other in (None, "", "gzip", "br", "*"):
        form = choose(get(accept=other), head, 5000, ALWAYS, False)
        tags[head_of(head, form).get("etag") or ""] = form
    form = choose(get(accept=accept), head, 5000, ALWAYS, False)
    out = ResponseHead(200, "", head_of(head, form))
    for tag, named in tags.items():
        request = get(f"If-None-Match: {tag}", accept=accept)
        found = preconditions.evaluate(request, out, 0.0)
        assert (found == preconditions.NotModified()) is (named == form)


def test_the_mark_is_part_of_a_valid_tag() -> None:
    assert parse_etag(f'"{MARK}identity"') is not None
