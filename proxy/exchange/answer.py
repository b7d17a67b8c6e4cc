"""What the door hands to the exchange, and what it gets: a head and one of four kinds of body.

Named tuples: each exchange makes a handful, and a frozen dataclass costs three times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.policy.reasons import Reason
    from proxy.semantics.fields import Fields
    from proxy.semantics.messages import Request, ResponseHead
    from proxy.store.base import StoredBody
    from proxy.upstream.base import OnInterim, RequestBody, Upgraded
    from proxy.upstream.bound import Bound


class BodyReader(Protocol):
    """A body that streams: chunks until b"", which says that it ended whole."""

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises an ``upstream.base.UpstreamError`` if cut off."""

    def close(self) -> None:
        """No more is wanted; safe to call twice and after the end."""


class Inline(NamedTuple):
    """All bytes at hand."""

    data: bytes


class FileSpan(NamedTuple):
    """``length`` bytes of a stored body from ``offset``; whoever sends it closes ``body``."""

    body: StoredBody
    offset: int
    length: int


class Flow(NamedTuple):
    """A stream of ``length`` bytes, or of unknown length (None: chunked or until close).

    ``trailers`` tells those for this client once the reader has come to its end.
    """

    reader: BodyReader
    length: int | None
    trailers: Callable[[], Fields] | None = None


class Tunnel(NamedTuple):
    """After this 101 head the connection is no longer HTTP: copy both ways."""

    upstream: Upgraded


Body = Inline | FileSpan | Flow | Tunnel


def release(body: Body | None) -> None:
    """Close what a body that is not sent to its end holds open, if there is one."""
    match body:
        case Flow(reader=reader):
            reader.close()
        case FileSpan(body=stored):
            stored.close()
        case Tunnel(upstream=upstream):
            upstream.close()
        case Inline() | None:
            pass


class Answer(NamedTuple):
    """``head`` is complete but for framing: Content-Length or Transfer-Encoding are the door's,

    except that the head of an answer to HEAD, and of a 304, keeps the Content-Length it has.
    """

    head: ResponseHead
    body: Body


class Inbound(NamedTuple):
    """A request at the door. ``body`` streams (None: there is none), ``length`` is its

    Content-Length (None: chunked). ``on_interim`` passes a 1xx on to this client. ``bound``: the
    client has logged in at the origin by its connection, so the answer is for it alone. ``client``
    is whose share of origin and resolver is used, as ``access.clients.client_of`` has it."""

    request: Request
    body: RequestBody | None
    length: int | None
    on_interim: OnInterim
    bound: Bound | None = None
    client: str = ""


class Outcome(NamedTuple):
    """The answer and why. ``forward_status`` is the origin's status, 0 if it did not answer.

    ``id`` is what the answer calls this exchange, if it does. ``asked``: how long the origin took
    for the head of its response, in seconds."""

    answer: Answer
    reason: Reason
    forward_status: int = 0
    id: str = ""
    asked: float = 0.0
