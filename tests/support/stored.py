"""One-liners for stored responses, all of them received at ``NOW``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.policy import storing
from proxy.policy.options import Options
from proxy.semantics.dates import format_date
from tests.support.build import req, resp

if TYPE_CHECKING:
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request

NOW: Final = 784111777.0
URL: Final = "http://a.example/x"
GET: Final = req(f"GET {URL}")
OPTIONS: Final = Options()


def at(seconds: float) -> str:
    """The HTTP-date ``seconds`` after ``NOW``."""
    return format_date(NOW + seconds)


def get(*lines: str, url: str = URL) -> Request:
    """``get("Range: bytes=0-1")``: a GET with these field lines."""
    return req(f"GET {url}", *lines)


def stored(
    *lines: str,
    status: int = 200,
    to: Request = GET,
    options: Options = OPTIONS,
    body_id: str = "1",
    length: int = 10,
) -> StoredResponse:
    """``stored("max-age=60", 'ETag: "a"')``: what is kept of that response; see ``build.resp``."""
    head = resp(status, *lines)
    return replace(storing.from_response(to, head, options, body_id, NOW, NOW), length=length)
