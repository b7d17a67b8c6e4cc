"""What may be changed on its way, what goes as it came, and what the origin is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.codings.transform import AsStored, choose, head_of
from proxy.codings.transformable import (
    can_receive,
    is_fixed,
    is_verbatim,
    negotiable,
    selecting,
    suits,
)
from proxy.policy.options import Options
from proxy.policy.storing import from_response
from proxy.semantics.messages import ResponseHead
from tests.support.build import fields, req

if TYPE_CHECKING:
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request

ANY: Final = CodingOptions(negotiate=True)
TEXT: Final = "Content-Type: text/html; charset=utf-8"
VARY: Final = "Vary: Accept-Encoding"
URL: Final = "http://a.example/x"


def get(*lines: str, accept: str | None = None, url: str = URL, method: str = "GET") -> Request:
    """A request with that Accept-Encoding, None for none."""
    more = () if accept is None else (f"Accept-Encoding: {accept}",)
    return req(f"{method} {url}", *more, *lines)


def head_with(*lines: str, coding: str = "", status: int = 200) -> ResponseHead:
    """Text in that coding, "" for none; later lines replace earlier ones of their name."""
    found = fields(TEXT, *([f"Content-Encoding: {coding}"] if coding else []))
    for name, value in fields(*lines):
        found = found.replacing(name, value)
    return ResponseHead(status, "", found)


# Asking the origin in the proxy's own words, where a person has asked for that.

AGREED: Final = [
    pytest.param(get(), True, id="GET"),
    pytest.param(get(accept="gzip"), True, id="takes one"),
    pytest.param(get(accept="*"), True, id="takes any"),
    pytest.param(get(accept="identity"), False, id="takes none"),
    pytest.param(get(accept=""), False, id="12.5.3 empty: takes none"),
    pytest.param(get(accept="gzip;q=0, br;q=0, zstd;q=0, *"), False, id="refuses what we ask"),
    pytest.param(get(accept="gzip", method="HEAD"), True, id="HEAD"),
    pytest.param(get(method="HEAD"), False, id="HEAD of who says nothing"),
    pytest.param(get(method="POST"), False, id="other methods"),
    pytest.param(get("Range: bytes=0-1"), False, id="9110 14.2 Range"),
    pytest.param(get("Cache-Control: max-age=0, No-Transform"), False, id="9111 5.2.1.6"),
    pytest.param(get("Cache-Control: no-transform=1"), False, id="9111 5.2 in any form"),
    pytest.param(get("Cache-Control: x-no-transform"), True, id="9111 5.2 another name"),
    pytest.param(get('Cache-Control: x="no-transform"'), True, id="9111 5.2 a value"),
    pytest.param(get("Cache-Control: no-store"), False, id="9111 5.2.1.5"),
    pytest.param(get("Cache-Control: no-cache"), True, id="other directives"),
    pytest.param(get("Accept: Text/Event-Stream"), False, id="an event stream"),
    pytest.param(get("Accept: text/*"), True, id="another type"),
    pytest.param(get("Authorization: Basic x"), False, id="Authorization"),
    pytest.param(get("Signature-Input: s=()"), False, id="9421"),
    pytest.param(get("X-Hub-Signature-256: x"), False, id="a signature"),
    pytest.param(get("X-Amz-Content-Sha256: x"), False, id="AWS"),
    pytest.param(get("x-ms-date: x"), False, id="Azure"),
    pytest.param(get(url=URL + "?a=b&X-Amz-Signature=c"), False, id="AWS query"),
    pytest.param(get(url=URL + "?X-Goog-Algorithm=c"), False, id="Google query"),
    pytest.param(get(url=URL + "?se=1&sig=c"), False, id="Azure query"),
    pytest.param(get(url=URL + "?Expires=1&Signature=c"), False, id="CloudFront query"),
    pytest.param(get(url=URL + "?design=c&sigma=d"), True, id="another query"),
]


@pytest.mark.parametrize(("request_", "agreed"), AGREED)
def test_negotiable(request_: Request, *, agreed: bool) -> None:
    assert negotiable(request_, ANY) is agreed


def test_nothing_is_asked_for_if_nothing_is_preferred() -> None:
    assert not negotiable(get(), CodingOptions(negotiate=True, prefer=()))


# What is never transformed.

GZIPPED: Final = head_with(coding="gzip")
FIXED: Final = [
    pytest.param(get(), GZIPPED, False, id="decoded"),
    pytest.param(get(), head_with(coding="gzip, br"), False, id="decoded twice"),
    pytest.param(get(), head_with(coding="gzip", status=404), False, id="any status"),
    pytest.param(
        get(), head_with("Cache-Control: no-transform", coding="gzip"), True, id="9111 5.2.2.6"
    ),
    pytest.param(get("Cache-Control: no-transform"), GZIPPED, True, id="9111 5.2.1.6"),
    pytest.param(
        get(), head_with("Content-Type: text/event-stream; x=y", coding="gzip"), True, id="SSE"
    ),
    pytest.param(get(), head_with("X-Accel-Buffering: No"), True, id="asked not to be buffered"),
    pytest.param(get(), head_with("X-Accel-Buffering: yes"), False, id="may be buffered"),
    pytest.param(get(), head_with("Signature-Input: s=()", coding="gzip"), True, id="9421 signed"),
    pytest.param(get(), head_with("Signature: x", coding="gzip"), True, id="signed, draft"),
    pytest.param(get(), head_with(coding="compress"), True, id="unknown coding"),
    pytest.param(get(), head_with(coding="br, dcb"), True, id="unknown among known"),
    pytest.param(get(method="POST"), GZIPPED, True, id="POST"),
    pytest.param(get(method="HEAD"), GZIPPED, False, id="HEAD"),
    *(
        pytest.param(get(), head_with(coding="gzip", status=status), True, id=f"{status}")
        for status in (103, 204, 205, 206, 304)
    ),
]


@pytest.mark.parametrize(("request_", "head", "fixed"), FIXED)
def test_fixed(request_: Request, head: ResponseHead, *, fixed: bool) -> None:
    assert is_fixed(request_, head) is fixed
    asked = replace(request_, fields=request_.fields.adding(("Accept-Encoding", "")))
    always = CodingOptions(encode="always")
    form = choose(asked, head, 5000, always, False, {Coding.IDENTITY, Coding.GZIP, Coding.BR})
    if fixed:
        assert form == AsStored()
        assert head_of(head, form) == head.fields


# What goes as it came to everybody.

TAKES: Final = fields("Accept-Encoding: gzip, br, zstd, deflate")


def coded(*lines: str) -> ResponseHead:
    return head_with(*lines, coding="gzip")


VERBATIM: Final = [
    pytest.param(URL, coded(), False, id="text"),
    pytest.param(URL, head_with(), False, id="in no coding"),
    pytest.param(URL, coded("Content-Digest: sha-256=:x:"), True, id="9530 Content-Digest"),
    pytest.param(URL, coded("Repr-Digest: sha-256=:x:"), True, id="9530 Repr-Digest"),
    pytest.param(URL, coded("Want-Repr-Digest: sha-256=1"), False, id="9530 Want-Repr-Digest"),
    pytest.param(URL, coded("Digest: sha-256=x"), True, id="3230 Digest"),
    pytest.param(URL, coded("Content-MD5: x"), True, id="1864 Content-MD5"),
    pytest.param(URL, coded("X-Amz-Checksum-Sha256: x"), True, id="S3"),
    pytest.param(URL, coded("x-amz-meta-md5chksum: x"), True, id="S3 metadata"),
    pytest.param(URL, coded("x-amz-meta-mode: 33188"), False, id="other S3 metadata"),
    pytest.param(URL, coded("x-goog-hash: md5=x"), True, id="GCS"),
    pytest.param(URL, coded("x-ms-blob-content-md5: x"), True, id="Azure"),
    pytest.param(URL, coded("X-Checksum-Sha1: x"), True, id="Artifactory"),
    pytest.param(URL, head_with("Content-MD5: x"), True, id="a digest of what has no coding"),
    *(
        pytest.param(URL + path, coded(), verbatim, id=path)
        for path, verbatim in [
            (".tar.gz", True),
            (".TGZ", True),
            ("/Packages.gz?a=b", True),
            (".svgz", True),
            (".js.br", True),
            (".zst", True),
            ("/a.whl", True),
            (".json", False),
            ("?a=b.gz", False),
            (".z", False),
        ]
    ),
    *(
        pytest.param(URL, coded(f"Content-Type: {kind}"), verbatim, id=kind)
        for kind, verbatim in [
            ("application/x-tar", True),
            ("Application/X-GZIP; q=1", True),
            ("application/octet-stream", True),
            ("image/png", False),
            ("", False),
        ]
    ),
    *(
        pytest.param(URL, coded(f"Content-Disposition: {said}"), verbatim, id=said)
        for said, verbatim in [
            ("attachment; filename=b.tar.gz", True),
            ('attachment; filename="B.ZIP"; size=3', True),
            ("attachment; filename*=UTF-8''b%20.gz", True),
            ('inline; filename="b.txt"', False),
            ("attachment", False),
        ]
    ),
]


@pytest.mark.parametrize(("url", "head", "verbatim"), VERBATIM)
def test_verbatim(url: str, head: ResponseHead, *, verbatim: bool) -> None:
    assert is_verbatim(get(url=url), head, TAKES) is verbatim


@pytest.mark.parametrize(
    ("coding", "offered", "verbatim"),
    [
        pytest.param("gzip", "gzip", False, id="offered"),
        pytest.param("x-gzip", "gzip", False, id="8.4.1 by its other name"),
        pytest.param("gzip", "*", False, id="any"),
        pytest.param("gzip", "br", True, id="another"),
        pytest.param("gzip", "gzip;q=0, *", True, id="refused"),
        pytest.param("gzip", None, True, id="silent"),
        pytest.param("gzip, br", "br", True, id="one of two"),
        pytest.param("aws-chunked", "gzip", True, id="unknown"),
        pytest.param("dcb", "gzip, dcb", False, id="unknown here, but offered"),
    ],
)
def test_a_coding_that_was_not_offered_is_the_objects_own(
    coding: str, offered: str | None, *, verbatim: bool
) -> None:
    said = get(accept=offered).fields
    assert is_verbatim(get(), head_with(coding=coding), said) is verbatim


# Who can have what, and what selects it.


def stored(request: Request, head: ResponseHead, *, verbatim: bool = False) -> StoredResponse:
    made = from_response(request, head, Options(), "1", 0.0, 0.0)
    return replace(made, verbatim=verbatim)


NO_TRANSFORM: Final = "Cache-Control: no-transform"
SELECTED: Final = [
    pytest.param(head_with(VARY, coding="gzip"), "identity", True, [], id="decoded"),
    pytest.param(head_with(VARY, coding="gzip"), "gzip", True, [], id="as it is"),
    pytest.param(head_with(VARY), "br", True, [], id="identity"),
    pytest.param(
        head_with("Vary: Origin, Accept-Encoding"), "br", True, ["origin"], id="other members"
    ),
    pytest.param(
        head_with(VARY, NO_TRANSFORM, coding="gzip"), "identity", False, ["accept-encoding"],
        id="no-transform: who refuses asks again",
    ),
    pytest.param(
        head_with(VARY, NO_TRANSFORM, coding="gzip"), None, False, ["accept-encoding"],
        id="no-transform: who says nothing, too",
    ),
    pytest.param(
        head_with("Vary: Origin", NO_TRANSFORM, coding="gzip"), "gzip", True,
        ["accept-encoding", "origin"], id="no-transform: for those who take it",
    ),
    pytest.param(
        head_with(VARY, NO_TRANSFORM), "identity;q=0", True, ["accept-encoding"],
        id="no-transform: identity",
    ),
    pytest.param(head_with(NO_TRANSFORM), "gzip", True, [], id="no-transform: never coded"),
    pytest.param(
        head_with(VARY, coding="compress"), "gzip", True, ["accept-encoding"], id="unknown coding"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("head", "accept", "suited", "names"), SELECTED)
def test_what_selects_a_response(
    head: ResponseHead, accept: str | None, names: list[str], *, suited: bool
) -> None:
    request = get(accept=accept)
    assert suits(request, head) is suited
    assert can_receive(request, stored(request, head)) is suited
    assert can_receive(request, stored(request, head, verbatim=True))
    assert [name for name, _ in selecting(request, stored(request, head))] == names


def test_an_archive_of_an_earlier_version_is_asked_for_by_who_does_not_take_it() -> None:
    head = head_with("Content-Type: application/x-tar", coding="gzip")
    assert not suits(get(accept="identity"), head)
    assert suits(get(accept="gzip"), head)


def test_one_stored_response_is_selected_by_every_accept_encoding() -> None:
    request = get("Accept: a/b", accept="identity")
    head = head_with("Vary: Accept-Encoding, Accept", coding="gzip")
    assert selecting(request, stored(request, head)) == (("accept", "a/b"),)


def test_a_part_is_selected_by_what_it_was_asked_with() -> None:
    request = get("Range: bytes=0-1", accept="gzip")
    head = head_with(VARY, "Content-Range: bytes 0-1/9", coding="gzip", status=206)
    assert selecting(request, stored(request, head)) == (("accept-encoding", "gzip"),)
