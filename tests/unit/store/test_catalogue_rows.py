"""What the catalogue says of one record, and how its hashes lie."""

import pytest

from proxy.policy.options import Options
from proxy.policy.stored import StoredResponse
from proxy.store import records
from proxy.store.base import FORMS
from proxy.store.catalogue_rows import (
    Damaged,
    Described,
    Form,
    Source,
    describe,
    host_of,
    kind_of,
    kinds_of,
    storable,
)
from tests.support.build import resp
from tests.support.stores import KEY

param = pytest.param
OPTIONS = Options()


def said(*lines: str, key: str = KEY, changes: dict[str, float] | None = None) -> object:
    """What is said of a response that came at 1000, or with other values."""
    values = {"request_time": 1000.0, "response_time": 1000.0, "status": 200} | (changes or {})
    times = (values["request_time"], values["response_time"])
    status, invalid = int(values["status"]), "invalid" in values
    stored = StoredResponse("body-a", (), resp(status, *lines), *times, 9, b"1234", invalid=invalid)
    return describe(Source(1, key, b"", records.encode(key, (stored,)), 0), OPTIONS)


@pytest.mark.parametrize(
    ("lines", "type_", "coding"),
    [
        param(["no-store"], "", "", id="neither"),
        param(["", "Content-Type: Text/HTML ; a=b"], "text/html", "", id="no parameters"),
        param(["", "Content-Type: ;"], "", "", id="no type"),
        param(["", f"Content-Type: {'a' * 999}"], "a" * 128, "", id="too long"),
        param(["", "Content-Encoding: GZIP, br"], "", "gzip, br", id="codings"),
        param(["", "Content-Type: <i>\x1b"], "<i>\x1b", "", id="no media type at all"),
    ],
)
def test_type_and_coding(lines: list[str], type_: str, coding: str) -> None:
    found = said(*lines)
    assert isinstance(found, Described)
    assert (found.type, found.coding) == (type_, coding)


@pytest.mark.parametrize(
    ("lines", "changes", "until"),
    [
        param(["max-age=60"], {}, 1060.0, id="4.2.1 max-age"),
        param(["max-age=60, no-cache"], {}, 1000.0, id="5.2.2.4 no-cache is never fresh"),
        param(["max-age=60"], {"invalid": 1.0}, 1000.0, id="4.4 invalid"),
        param(["max-age=60", "Age: 100"], {}, 960.0, id="4.2.3 stale on arrival"),
        param(["max-age=60, no-cache", "Age: 100"], {}, 960.0, id="stale, and never fresh"),
    ],
)
def test_until_when_it_may_be_served(
    lines: list[str], changes: dict[str, float], until: float
) -> None:
    found = said(*lines, changes=changes)
    assert isinstance(found, Described)
    assert found.fresh_until == until


@pytest.mark.parametrize(
    "changes",
    [
        {"response_time": float("nan")},
        {"response_time": float("inf")},
        {"request_time": float("-inf")},
        {"status": 10**6},
        {"status": -1},
    ],
    ids=str,
)
def test_values_that_no_response_has_are_damage(changes: dict[str, float]) -> None:
    assert isinstance(said("max-age=5", changes=changes), Damaged)


@pytest.mark.parametrize(
    "record",
    [None, b"", b"\x01\0\0\0\0", records.encode("http://x/", ()), records.encode(KEY, ())],
    ids=["none", "empty", "checksum", "another key", "nothing stored"],
)
def test_damaged_records(record: bytes | None) -> None:
    assert isinstance(describe(Source(1, KEY, b"", record, 0), OPTIONS), Damaged)


def test_a_form_names_the_body_it_is_of() -> None:
    found = said("max-age=5", key=f"{FORMS}body-b gzip")
    assert isinstance(found, Form)
    assert (found.body, found.bodies) == ("body-b", ("body-a",))


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("http://a.example/x", ("a.example", "a.example")),
        ("https://a.example:8443/", ("a.example:8443", "a.example")),
        ("http://[::1]:80/", ("[::1]:80", "[::1]")),
        ("http://a.example?x", ("a.example", "a.example")),
        ("http:///", ("", "")),
        ("ftp://a.example/", ("", "")),
        ("http://[::1", ("[:", "[")),
        ("", ("", "")),
    ],
)
def test_host_of(key: str, host: tuple[str, str]) -> None:
    assert host_of(key) == host


@pytest.mark.parametrize("type_", ["text/html", "text/plain", "text/", "text"])
def test_kinds_of_one_type_are_together(type_: str) -> None:
    first, last = kinds_of("text")
    assert first <= kind_of(type_) <= last


def test_what_is_storable() -> None:
    assert storable("\U0001f600\xe9\0") == "\U0001f600\xe9\0"
    assert storable("\ud83d\ude00") == "\U0001f600"
    storable("a\udc80b\ud800").encode()
