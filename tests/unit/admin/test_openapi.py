"""The description itself: it is whole, and says of orders what the API would say."""

from __future__ import annotations

from typing import Any, cast

import jsonschema_rs
import msgspec
import pytest

from proxy import __version__
from proxy.admin import schemas
from proxy.admin.api import Api
from proxy.admin.openapi import describe

SAID = describe()
SCHEMAS = SAID["components"]["schemas"]
URL = "http://a.example/"


def operations() -> dict[str, tuple[str, dict[str, Any]]]:
    return {path: next(iter(methods.items())) for path, methods in SAID["paths"].items()}


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_what_it_is() -> None:
    assert SAID["openapi"] == "3.1.0"
    assert SAID["info"] == {"title": "Forecache", "version": __version__}
    assert SAID["security"] == [{}, {"token": []}]
    assert msgspec.json.decode(msgspec.json.encode(SAID))


def test_every_route_is_described_with_its_method() -> None:
    routes = list(Api(cast("Any", None), cast("Any", None)).routes)
    assert {(route.path, route.method.lower()) for route in routes} == {  # type: ignore[attr-defined]
        (path, method) for path, (method, _) in operations().items()
    }


def test_references_lead_somewhere_and_nothing_is_left_over() -> None:
    named = {f"#/components/schemas/{name}" for name in SCHEMAS}
    lines = {"WarmingLine", "VerifyingLine", "TidyingLine", "UselessShape", "DamageShape"}
    referred = references(SAID) | {f"#/components/schemas/{name}" for name in lines}
    assert referred == named


@pytest.mark.parametrize("path", operations())
def test_an_operation(path: str) -> None:
    method, said = operations()[path]
    assert method in {"get", "post"}
    assert ("requestBody" in said) == (method == "post"), "what changes something is an order"
    assert said["summary"]
    assert {"200", "400", "401", "403", "421", "503"} <= set(said["responses"])
    for status, answer in said["responses"].items():
        assert answer["description"].endswith(".")
        (media_type,) = answer["content"]
        assert status == "200" or media_type == "application/json"
    names = [parameter["name"] for parameter in said["parameters"]]
    assert len(set(names)) == len(names)
    assert [name for name in names if f"{{{name}}}" in path] == names * ("{" in path)


def takes(shape: str, value: object) -> bool:
    schema = {**SCHEMAS[shape], "components": SAID["components"]}
    return jsonschema_rs.is_valid(schema, value, validate_formats=False)


@pytest.mark.parametrize(
    ("order", "valid"),
    [
        pytest.param({"url": URL}, True, id="url"),
        pytest.param({"url": URL, "variant": "1", "soft": True}, True, id="one variant"),
        pytest.param({"prefix": URL}, True, id="prefix"),
        pytest.param({"host": "a.example", "dry_run": True}, True, id="host"),
        pytest.param({"glob": "http://*.example/**"}, True, id="glob"),
        pytest.param({"tag": "news", "origin": "http://a.example"}, True, id="tag"),
        pytest.param({"all": True}, True, id="all"),
        pytest.param({"url": URL, "prefix": None, "all": False}, True, id="what is not meant"),
        pytest.param({}, False, id="nothing"),
        pytest.param({"all": False}, False, id="not all"),
        pytest.param({"url": None}, False, id="no url"),
        pytest.param({"url": URL, "all": True}, False, id="two"),
        pytest.param({"host": "a.example", "tag": "news"}, False, id="two others"),
        pytest.param({"prefix": URL, "variant": "1"}, False, id="a variant of many"),
        pytest.param({"url": URL, "urls": []}, False, id="an unknown member"),
        pytest.param({"url": 1}, False, id="a number"),
    ],
)
def test_what_may_be_purged(order: dict[str, object], valid: bool) -> None:
    assert takes("PurgeOrder", order) == valid


@pytest.mark.parametrize(
    ("headers", "valid"),
    [
        pytest.param({"Accept-Language": "de\tfr \xff"}, True, id="a field"),
        pytest.param({"A": ""}, True, id="no value"),
        pytest.param({"A B": "x"}, False, id="a name with a space"),
        pytest.param({"A:B": "x"}, False, id="a name with a colon"),
        pytest.param({"": "x"}, False, id="no name"),
        pytest.param({"A": "x\r\nB: y"}, False, id="two lines"),
        pytest.param({"A": "\u20ac"}, False, id="no octets"),
    ],
)
def test_fields_of_a_warming(headers: dict[str, str], valid: bool) -> None:
    assert takes("WarmOrder", {"urls": [URL], "headers": headers}) == valid


def test_descriptions_are_written_for_those_who_read_them() -> None:
    for name, schema in schemas.components().items():
        text = schema.get("description", "A.")
        assert text == text.strip()
        assert "\n    " not in text, name
