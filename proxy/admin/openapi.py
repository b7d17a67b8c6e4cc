"""The description of the API (OpenAPI 3.1), for programs that read it and for the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy import __version__
from proxy.admin import schemas
from proxy.admin.schemas import ref
from proxy.admin.shapes import (
    NAME,
    VALUE,
    EntryShape,
    FillShape,
    Purged,
    PurgeOrder,
    TidyingLine,
    TidyOrder,
    VerifyingLine,
    VerifyOrder,
    WarmOrder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    409: "It is being done already.",
    413: "The body is larger than anything that could be meant.",
    421: "Host names something else.",
    503: "It takes no more requests, or the store cannot be read.",
}
_LINES: Final = "application/x-ndjson"
_ALWAYS: Final = (400, 401, 403, 421, 503)
_URL: Final = ("url", True, {"type": "string", "format": "uri"}, "The whole URL.")
_LIMIT: Final = (
    "limit", False, {"type": "integer", "minimum": 1, "maximum": 1000}, "How many at most.",
)  # fmt: skip
Parameter = tuple[str, bool, dict[str, Any], str]


def _words(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


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
    for status in (*_ALWAYS, *also):
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
        responses["413"] = responses["400"] | {"description": _WHY[413]}
        body = {"application/json": {"schema": ref(order)}}
        said["requestBody"] = {"required": True, "content": body}
    return said


_TEXT: Final = {"type": "string"}
_LINE: Final = {"type": "string", "pattern": f"{NAME}:{VALUE}"}
_SORTS: Final = _words("used", "size", "age", "hits", "expires", "url")
_FILTERS: Final[tuple[Parameter, ...]] = (
    ("host", False, _TEXT, "A host, with its port if it matters."),
    ("q", False, _TEXT, "Text in the URL."),
    ("prefix", False, _TEXT, "How the URL begins."),
    ("state", False, _words("", "fresh", "stale"), "Fresh or stale."),
    ("type", False, _TEXT, "A media type, such as text/html or text/*."),
    ("coding", False, _TEXT, "A Content-Encoding, or identity."),
    ("tag", False, _TEXT, "One of Cache-Tag, Surrogate-Key or xkey."),
    ("sort", False, _SORTS, "By what."),
    ("order", False, _words("asc", "desc"), "Which end first."),
    _LIMIT,
    ("cursor", False, {"type": "string", "format": "cursor"}, "Of the page before."),
)
_ASKING: Final[tuple[Parameter, ...]] = (
    _URL,
    ("method", False, {"type": "string", "pattern": f"{NAME}$"}, "GET without it."),
    ("header", False, {"type": "array", "items": _LINE}, "A field: name, colon, value."),
)
_BODY: Final[tuple[Parameter, ...]] = (_URL, ("id", False, _TEXT, "Of a variant."))


def _reading() -> dict[str, Any]:
    """What GET is for, by path."""
    again = "One exchange, and what would happen to it now"
    one = _operation(again, ref(schemas.Remembered), also=[404])
    one["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": _TEXT}]
    total = {"type": ["integer", "null"]}
    page = _list("entries", ref(schemas.EntryLine), cursor=_TEXT, total=total)
    latest = _list("exchanges", ref(schemas.Exchange))
    octets = "application/octet-stream"
    return {
        "/healthz": _operation("Whether the process answers", ref(schemas.Health)),
        "/readyz": _operation("Whether it takes requests", ref(schemas.Readiness)),
        "/metrics": _operation("Metrics for Prometheus", "text/plain"),
        "/api/stats": _operation("All that is counted", ref(schemas.Stats)),
        "/api/events": _operation("Counters and exchanges as they come", "text/event-stream"),
        "/api/exchanges": _operation("The latest exchanges", latest, [_LIMIT]),
        "/api/exchanges/{id}": one,
        "/api/explain": _operation(
            "What would happen to a request, and why", ref(schemas.Explanation), _ASKING
        ),
        "/api/entries": _operation("A page of what is stored", page, _FILTERS),
        "/api/entry": _operation("All of a URL", ref(EntryShape), [_URL], also=[404]),
        "/api/entry/body": _operation("The stored octets", octets, _BODY, also=[404]),
        "/api/fills": _operation("What is on its way", _list("fills", ref(FillShape))),
        "/api/openapi.json": _operation("This description", {"type": "object"}),
    }


def _changing() -> dict[str, Any]:
    """What POST is for, by path."""
    return {
        "/api/purge": _operation(
            "Take out of the cache", ref(Purged), order=PurgeOrder, also=[404]
        ),
        "/api/warm": _lines("Fetch into the cache", WarmOrder, schemas.WarmingLine),
        "/api/verify": _lines(
            "Read all that is stored, and say what is damaged", VerifyOrder, VerifyingLine, [409]
        ),
        "/api/gc": _lines("Give back what is of no use", TidyOrder, TidyingLine, [409]),
    }


def _lines(summary: str, order: type, line: type, also: Iterable[int] = ()) -> dict[str, Any]:
    """An operation that says line by line how far it is."""
    said = _operation(summary, _LINES, order=order, also=also)
    said["responses"]["200"]["description"] = f"As it goes: each line is a {line.__name__} in JSON."
    return said


def describe() -> dict[str, Any]:
    """The whole description."""
    paths = {path: {"get": operation} for path, operation in _reading().items()}
    paths |= {path: {"post": operation} for path, operation in _changing().items()}
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Forecache", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas.components(), "securitySchemes": schemes},
        "security": [{}, {"token": []}],
    }
