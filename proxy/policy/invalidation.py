"""What a state-changing request makes invalid (RFC 9111 §4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urldefrag, urljoin

from proxy.policy.keys import reflected
from proxy.semantics.messages import SAFE_METHODS, ResponseHead
from proxy.semantics.targets import Absolute, BadTarget, parse

if TYPE_CHECKING:
    from proxy.policy.options import Options
    from proxy.semantics.messages import Request
    from proxy.semantics.targets import TargetURI

_LOCATIONS: Final = ("location", "content-location")
_NAMING: Final = frozenset({*_LOCATIONS, "cache-group-invalidation"})
_MOST: Final = 2  # lines of each: there is to be one, and what is removed is not for sale
_MOVING: Final = frozenset({"COPY", "MOVE"})  # RFC 4918 §9.8, §9.9


def keys(request: Request, head: ResponseHead) -> tuple[TargetURI, ...]:
    """The target URIs of which every stored response is now invalid, the request's own first.

    None unless the answer is a non-error one to a method that is not known to be safe. Locations
    and Destination count within the origin of the request alone: nobody invalidates what is not
    his.
    """
    if request.method in SAFE_METHODS or not 200 <= head.status < 400:
        return ()
    found = [request.uri]
    references = [value for name in _LOCATIONS for value in head.fields.all(name)[:_MOST]]
    if request.method in _MOVING:
        references += request.fields.all("destination")[:_MOST]
    for reference in references:
        uri = resolved(request.uri, reference)
        if uri is not None and uri.origin == request.uri.origin and uri not in found:
            found.append(uri)
    return tuple(found)


def told(request: Request, head: ResponseHead, options: Options) -> ResponseHead:
    """The head less what names other responses where the request may have written that itself.

    What is in no key is reflected: a client would choose what others lose.
    """
    if reflected(request, options) is None:
        return head
    return ResponseHead(head.status, head.reason, head.fields.without(_NAMING), head.minor)


def resolved(base: TargetURI, reference: str) -> TargetURI | None:
    """The target URI that a URI reference in a message means (RFC 3986 §5); None for no such."""
    try:
        absolute, _ = urldefrag(urljoin(str(base), reference))
        target = parse("GET", absolute)
    except (BadTarget, ValueError):
        return None
    return target.uri if isinstance(target, Absolute) else None
