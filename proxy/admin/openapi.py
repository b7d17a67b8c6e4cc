"""The description of the API (OpenAPI 3.1), for programs that read it and for the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from proxy import __version__
from proxy.admin.shapes import EntryShape, FillShape, Purged, PurgeOrder, WarmOrder

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHAPES: Final = (EntryShape, FillShape, Purged, PurgeOrder, WarmOrder)
_REF: Final = "#/components/schemas/{name}"
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["reason", "sentence"],
            "properties": {"reason": {"type": "string"}, "sentence": {"type": "string"}},
        }
    },
}
_WHY: Final = {
    400: "The question cannot be understood; the sentence says what to write.",
    401: "A token is asked for.",
    403: "It comes from a page of another site.",
    404: "There is no such thing.",
    421: "Host names something else.",
    503: "It takes no more requests.",
}
_ANY: Final[dict[str, Any]] = {"type": "object"}
_URL: Final = ("url", True, {"type": "string", "format": "uri"}, "The whole URL.")
_LIMIT: Final = (
    "limit", False, {"type": "integer", "minimum": 1, "maximum": 1000}, "How many at most.",
)  # fmt: skip
Parameter = tuple[str, bool, dict[str, Any], str]


def _words(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


def _ref(shape: type) -> dict[str, Any]:
    return {"$ref": _REF.format(name=shape.__name__)}


def _list(name: str, item: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    listed = {name: {"type": "array", "items": item}, **more}
    return {"type": "object", "required": list(listed), "properties": listed}


def _operation(
    summary: str,
    answer: dict[str, Any] | str,
    parameters: Iterable[Parameter] = (),
    order: type | None = None,
    also: Iterable[int] = (),
) -> dict[str, Any]:
    content = (
        {answer: {"schema": {"type": "string"}}}
        if isinstance(answer, str)
        else {"application/json": {"schema": answer}}
    )
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
    for status in (400, 401, 403, 421, *also):
        error = {"application/json": {"schema": _ERROR}}
        responses[str(status)] = {"description": _WHY[status], "content": error}
    said: dict[str, Any] = {
        "summary": summary,
        "responses": responses,
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": required,
                "schema": schema,
                "description": text,
            }
            for name, required, schema, text in parameters
        ],
    }
    if order is not None:
        body = {"application/json": {"schema": _ref(order)}}
        said["requestBody"] = {"required": True, "content": body}
    return said


_TEXT: Final = {"type": "string"}
_SORTS: Final = _words("used", "size", "age", "hits", "expires", "url")
_FILTERS: Final[tuple[Parameter, ...]] = (
    ("host", False, _TEXT, "A host, with its port if it matters."),
    ("q", False, _TEXT, "Text in the URL."),
    ("prefix", False, _TEXT, "How the URL begins."),
    ("state", False, _words("", "fresh", "stale"), "Fresh or stale."),
    ("type", False, _TEXT, "A media type, such as text/html or text/*."),
    ("coding", False, _TEXT, "A Content-Encoding, or identity."),
    ("sort", False, _SORTS, "By what."),
    ("order", False, _words("asc", "desc"), "Which end first."),
    _LIMIT,
    ("cursor", False, _TEXT, "Of the page before."),
)
_ASKING: Final[tuple[Parameter, ...]] = (
    _URL,
    ("method", False, _TEXT, "GET without it."),
    ("header", False, {"type": "array", "items": _TEXT}, "A field: name, colon, value."),
)
_BODY: Final[tuple[Parameter, ...]] = (_URL, ("id", False, _TEXT, "Of a variant."))


def _reading() -> dict[str, Any]:
    """What GET is for, by path."""
    one = _operation("One exchange, and what would happen to it now", _ANY, also=[404])
    one["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": _TEXT}]
    page = _list("entries", _ANY, cursor=_TEXT)
    octets = "application/octet-stream"
    return {
        "/healthz": _operation("Whether the process answers", _ANY),
        "/readyz": _operation("Whether it takes requests", _ANY, also=[503]),
        "/metrics": _operation("Metrics for Prometheus", "text/plain"),
        "/api/stats": _operation("All that is counted", _ANY),
        "/api/events": _operation("Counters and exchanges as they come", "text/event-stream"),
        "/api/exchanges": _operation("The latest exchanges", _list("exchanges", _ANY), [_LIMIT]),
        "/api/exchanges/{id}": one,
        "/api/explain": _operation("What would happen to a request, and why", _ANY, _ASKING),
        "/api/entries": _operation("A page of what is stored", page, _FILTERS),
        "/api/entry": _operation("All of a URL", _ref(EntryShape), [_URL], also=[404]),
        "/api/entry/body": _operation("The stored octets", octets, _BODY, also=[404]),
        "/api/fills": _operation("What is on its way", _list("fills", _ref(FillShape))),
        "/api/openapi.json": _operation("This description", _ANY),
    }


def describe() -> dict[str, Any]:
    """The whole description."""
    schemas: dict[str, Any] = msgspec.json.schema_components(_SHAPES, ref_template=_REF)[1]
    changing = {
        "/api/purge": _operation("Take out of the cache", _ref(Purged), order=PurgeOrder),
        "/api/warm": _operation("Fetch into the cache", "application/x-ndjson", order=WarmOrder),
    }
    paths = {path: {"get": operation} for path, operation in _reading().items()}
    paths |= {path: {"post": operation} for path, operation in changing.items()}
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Forecache", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
        "security": [{}, {"token": []}],
    }
