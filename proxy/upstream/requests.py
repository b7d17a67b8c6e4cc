"""The octets of a request head as it leaves: request-target by route, framing by body. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.upstream.routes import Relayed
from proxy.wire.heads import field_section, render_request, request_head

if TYPE_CHECKING:
    from proxy.semantics.fields import Line
    from proxy.semantics.targets import Origin, TargetURI
    from proxy.upstream.base import Outgoing
    from proxy.upstream.routes import Parent, Route

# RFC 9110 §8.6: methods that define a meaning for content say when there is none.
_MEANT_TO_HAVE_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})


def render(request: Outgoing, route: Route) -> bytes:
    """The head of ``request`` as sent on ``route``."""
    method, uri, fields, body, length, _, _ = request
    target = _absolute(uri) if isinstance(route, Relayed) else uri.path
    if body is not None or length is not None:
        return request_head(method, target, _section(request, route))
    # Most requests come with fields that went out before: they remember their octets.
    known = getattr(fields, "_rendered", None)
    if known is None or known[0] is not route or known[1] != method:
        known = fields._rendered = (route, method, _section(request, route))
    return request_head(method, target, known[2])


def _section(request: Outgoing, route: Route) -> bytes:
    lines = [*request.fields.lines, *_framing(request)]
    if isinstance(route, Relayed):
        lines += _credentials(route.parent)
    return field_section(lines)


def render_connect(origin: Origin, parent: Parent, via: str) -> bytes:
    """The CONNECT that asks ``parent`` for a tunnel to ``origin``; by ``via`` a loop is seen."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    authority = f"{host}:{origin.port}"
    said = [("Via", via)] if via else []
    lines = [("Host", authority), *said, *_credentials(parent)]
    return render_request("CONNECT", authority, lines)


def _framing(request: Outgoing) -> list[Line]:
    if request.length is not None:
        return [("Content-Length", str(request.length))]
    if request.body is not None:
        return [("Transfer-Encoding", "chunked")]
    return [("Content-Length", "0")] if request.method in _MEANT_TO_HAVE_CONTENT else []


def _absolute(uri: TargetURI) -> str:
    # RFC 9112 §3.2.4: asterisk-form goes through a proxy as a URI without a path.
    return str(uri.origin) if uri.path == "*" else str(uri)


def _credentials(parent: Parent) -> list[Line]:
    return [("Proxy-Authorization", parent.authorization)] if parent.authorization else []
