"""What of a stored response a client gets, and where its kept forms are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from proxy.codings.options import CodingOptions
from proxy.codings.registry import Coding
from proxy.codings.transform import AsStored, Decode, Encode, Kept
from proxy.exchange.forms import Forms, kept_key
from proxy.policy.stored import Part, StoredResponse
from proxy.store.base import FORMS
from tests.support.build import req, resp
from tests.support.fakes import FakeStore
from tests.support.stored import NOW, URL, stored

if TYPE_CHECKING:
    from proxy.semantics.messages import Request

Encoding = Literal["auto", "always", "never"]
TEXT = "Content-Type: text/plain"
GZIPPED = stored("max-age=60", TEXT, 'ETag: "1"', "Content-Encoding: gzip", body_id="b")
PLAIN = stored("max-age=60", TEXT, 'ETag: "1"', body_id="b", length=5000)


class Place:
    def __init__(self, held: StoredResponse, *kept: Coding, encode: Encoding = "always") -> None:
        self.store = FakeStore()
        self.held = self.store.add(URL, held, bytes(held.length))
        for coding in kept:
            form = stored("max-age=60", body_id=f"kept-{coding}")
            self.store.add(kept_key(self.held, coding), form, coding.encode())
        self.forms = Forms(self.store, CodingOptions(encode=encode))


def asking(accept: str, *lines: str) -> Request:
    return req(f"GET {URL}", f"Accept-Encoding: {accept}", *lines)


@pytest.mark.parametrize(
    ("held", "accept", "kept", "form"),
    [
        pytest.param(GZIPPED, "gzip", (), AsStored(negotiated=True), id="as it is stored"),
        pytest.param(GZIPPED, "identity", (), Decode((Coding.GZIP,)), id="decoded"),
        pytest.param(
            GZIPPED, "identity", (Coding.IDENTITY,), Kept(Coding.IDENTITY), id="decoded and kept"
        ),
        pytest.param(PLAIN, "br", (), Encode(Coding.BR), id="encoded"),
        pytest.param(PLAIN, "br", (Coding.BR,), Kept(Coding.BR), id="encoded and kept"),
        pytest.param(PLAIN, "br", (Coding.GZIP,), Encode(Coding.BR), id="another is kept"),
    ],
)
async def test_the_form(
    held: StoredResponse, accept: str, kept: tuple[Coding, ...], form: object
) -> None:
    place = Place(held, *kept)
    request = asking(accept)
    view = place.forms.at_hand(request, URL, place.held)
    assert view is not None
    assert view.form == form
    assert view == (await place.forms.view(request, URL, place.held))._replace(
        decided_by=view.decided_by
    )
    if isinstance(form, Kept):
        assert (view.key, view.stored.id) == (
            kept_key(place.held, form.coding),
            f"kept-{form.coding}",
        )
        assert view.stored.length == len(form.coding)
    else:
        assert (view.key, view.stored.id) == (URL, "b")


async def test_what_is_not_in_memory_has_to_be_looked_up() -> None:
    place = Place(PLAIN, Coding.BR)
    place.store.hot = False
    assert place.forms.at_hand(asking("br"), URL, place.held) is None
    view = await place.forms.view(asking("br"), URL, place.held)
    assert view.form == Kept(Coding.BR)


def test_a_form_that_is_stored_later_is_seen_by_its_generation() -> None:
    place = Place(PLAIN, encode="auto")
    view = place.forms.at_hand(req(f"GET {URL}", "Accept-Encoding: br"), URL, place.held)
    assert view is not None
    key, generation = view.decided_by
    assert key == kept_key(place.held, Coding.BR)
    assert place.store.generation(key) == generation
    place.store.add(key, stored("max-age=60"), b"x")
    assert place.store.generation(key) != generation


def test_another_body_has_no_forms() -> None:
    other = stored("max-age=60", TEXT, body_id="c")
    assert kept_key(PLAIN, Coding.BR) != kept_key(other, Coding.BR)
    assert kept_key(PLAIN, Coding.BR).startswith(FORMS)


def test_the_range_of_a_form_that_is_made_is_not_obeyed() -> None:
    place = Place(GZIPPED)
    request = asking("identity", "Range: bytes=0-1", 'If-Range: "1"')
    view = place.forms.at_hand(request, URL, place.held)
    assert view is not None
    assert {"range", "if-range"}.isdisjoint(view.request.fields.names())


def test_a_part_stays_as_it_is() -> None:
    place = Place(GZIPPED)
    part = replace(place.held, part=Part(0, 3, 10))
    view = place.forms.at_hand(asking("identity"), URL, part)
    assert view is not None
    assert view.form == AsStored()
    assert place.forms.passing(asking("identity"), part, 4).form == AsStored()


def test_asked_for_again_within_a_while() -> None:
    forms = Place(PLAIN).forms
    assert [forms.is_asked_for_again("k", NOW + n) for n in (0, 1, 700)] == [False, True, False]


def test_a_304_that_passes_names_the_tag_that_the_client_has() -> None:
    forms = Place(PLAIN).forms
    request = req(f"GET {URL}", 'If-None-Match: "1~forecache.identity"')
    head, coders = forms.of_passing(request, resp(304, "", 'ETag: "1"'), 0, negotiated=False)
    assert head.fields.get("etag") == '"1~forecache.identity"'
    assert coders is None
