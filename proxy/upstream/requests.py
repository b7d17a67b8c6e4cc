"""The octets of a request head as it leaves: request-target by route, framing by body. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.upstream.routes import Relayed
from proxy.wire.heads import render_request

if TYPE_CHECKING:
    from proxy.semantics.fields import Line
    from proxy.semantics.targets import Origin, TargetURI
    from proxy.upstream.base import Outgoing
    from proxy.upstream.routes import Parent, Route

# RFC 9110 §8.6: methods that define a meaning for content say when there is none.
_MEANT_TO_HAVE_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})


def render(request: Outgoing, route: Route) -> bytes:
    """The head of ``request`` as sent on ``route``."""
    method, uri, fields, body, length, _ = request
    if body is not None or length is not None:
        return _rendered(request, route)
    # A repeated request comes with the very same fields: they remember the head they were in.
    known = getattr(fields, "_rendered", None)
    if known is not None and known[0] is route and known[1] is uri and known[2] == method:
        head: bytes = known[3]
        return head
    head = _rendered(request, route)
    fields._rendered = (route, uri, method, head)
    return head


def _rendered(request: Outgoing, route: Route) -> bytes:
    lines = [*request.fields.lines, *_framing(request)]
    if isinstance(route, Relayed):
        lines += _credentials(route.parent)
        return render_request(request.method, _absolute(request.uri), lines)
    return render_request(request.method, request.uri.path, lines)


def render_connect(origin: Origin, parent: Parent) -> bytes:
    """The CONNECT that asks ``parent`` for a tunnel to ``origin``."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    authority = f"{host}:{origin.port}"
    return render_request("CONNECT", authority, [("Host", authority), *_credentials(parent)])


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
