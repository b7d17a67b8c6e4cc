"""What a request head asks of us: a decision on values, before anything is done."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.access.rules import Denied
from proxy.exchange import errors, own
from proxy.exchange.answer import Answer, Inline
from proxy.policy.reasons import Reason
from proxy.semantics import session_authentication, targets
from proxy.semantics.fields import Fields
from proxy.semantics.forwarding import nominated
from proxy.semantics.messages import Request, ResponseHead
from proxy.semantics.targets import Absolute, Asterisk, Authority, BadTarget, Origin, OriginForm
from proxy.upstream.connect import prohibited

if TYPE_CHECKING:
    from proxy.access.rules import Rules
    from proxy.semantics.messages import RequestHead
    from proxy.semantics.targets import TargetURI
    from proxy.wire.heads import BadMessage

# Connection-specific fields that the exchange looks at before they go.
_OURS: Final = frozenset({"te", "upgrade"})

_ABOUT: Final = """\
This is forecache, a caching forward HTTP proxy.

Set it as your proxy:

    export http_proxy=http://{host} https_proxy=http://{host}

/healthz answers ok while it serves.
"""


class Exchanged(Struct, frozen=True, gc=False):
    """A request for the exchange. ``logs_in``: by its connection (RFC 4559 §6)."""

    request: Request
    logs_in: bool = False


class Connect(Struct, frozen=True, gc=False):
    """CONNECT to an authority that access lets through by port, name, and address if it is one."""

    host: str
    port: int


class Own(Struct, frozen=True, gc=False):
    """Answered here. ``close``: the connection cannot be trusted to go on."""

    answer: Answer
    reason: Reason
    close: bool = False


Reception = Exchanged | Connect | Own


def receive(
    head: RequestHead, inside: Origin | None, rules: Rules, *, local: bool = False
) -> Reception:
    """Sort a request by its target. ``inside``: the authority of the CONNECT it came through.

    ``local``: it comes from this machine.
    """
    try:
        target = targets.parse(head.method, head.target)
    except BadTarget as error:
        return refused(400, f"The request-target cannot be used: {error}.")
    match target:
        case Absolute(uri):
            # The authority of a CONNECT was judged with the ports of that.
            granted = uri.origin == inside
            return _exchanged(head, uri, rules, granted=granted, local=local)
        case Authority(host, port):
            verdict = rules.connect(host, port)
            return denied(verdict) if isinstance(verdict, Denied) else Connect(host, port)
        case OriginForm(path) if inside is not None:
            return _inside(head, inside, path, rules, local=local)
        case Asterisk() if inside is not None:
            return _inside(head, inside, "*", rules, local=local)
        case OriginForm(path):
            return about(head, path)
        case Asterisk():
            return Own(own.capabilities(), Reason.SELF)


def denied(verdict: Denied) -> Own:
    """Access says no, whatever is stored."""
    error = prohibited(verdict)
    return Own(errors.from_upstream(error), errors.reason_of(error))


def _inside(
    head: RequestHead, inside: Origin, path: str, rules: Rules, *, local: bool
) -> Reception:
    """RFC 9110 §7.1: the target URI is that of the authority which the client connected to."""
    named = head.fields.get("host")
    other = ""
    if named is not None:
        try:
            other = named if targets.parse_origin(inside.scheme, named) != inside else ""
        except BadTarget as error:
            return refused(400, f"The Host field cannot be used: {error}.")
    uri = targets.resolve(inside, path)
    return _exchanged(head, uri, rules, granted=True, local=local, host=other)


def _exchanged(
    head: RequestHead, uri: TargetURI, rules: Rules, *, granted: bool, local: bool, host: str = ""
) -> Reception:
    """RFC 9110 §7.6.1: what Connection takes out must not select a variant either."""
    origin = uri.origin
    verdict = rules.place(origin.host, origin.port) if granted else rules.request(origin)
    # What may no longer be had may be removed.
    purge = head.method == "PURGE" and rules.purges and not host
    if isinstance(verdict, Denied) and not purge:
        return denied(verdict)
    fields = head.fields
    if "connection" in fields and (names := nominated(fields) - _OURS):
        fields = fields.without(names)
    logs_in = "authorization" in fields and session_authentication.is_used(fields)
    return Exchanged(Request(head.method, uri, fields, head.minor, local, host), logs_in)


def refused(status: int, sentence: str) -> Own:
    """A message that two readers could read differently, or none at all."""
    reason = Reason.BAD_REQUEST
    answer = errors.own(status, reason, sentence, error="http_request_error")
    return Own(answer, reason, close=True)


def unreadable(error: BadMessage) -> Own:
    """A message whose syntax is not right."""
    return refused(error.status, f"The request cannot be read in one way only: {error.detail}.")


def too_many(seconds: float) -> Own:
    """One client has asked for too much (RFC 6585 §4); ``seconds`` until it may ask again."""
    wait = ceil(seconds)
    sentence = f"There were too many requests from this client. Wait {wait} s before the next one."
    reason, lines = Reason.TOO_MANY_REQUESTS, (("Retry-After", str(wait)),)
    return Own(errors.own(429, reason, sentence, error="http_request_denied", lines=lines), reason)


def about(head: RequestHead, path: str) -> Own:
    """An origin-form request is for the proxy itself."""
    if head.method not in {"GET", "HEAD"}:
        sentence = "This is a proxy. Requests to itself may only be GET or HEAD."
        lines = (("Allow", "GET, HEAD"),)
        return Own(errors.own(405, Reason.SELF, sentence, lines=lines), Reason.SELF)
    page = path.partition("?")[0]
    if page == "/healthz":
        return Own(_page("ok\n"), Reason.SELF)
    if page == "/":
        return Own(_page(_ABOUT.format(host=head.fields.get("host") or "HOST:3128")), Reason.SELF)
    sentence = (
        "This is a proxy, and it has no such page. A client that is told to use it as its proxy"
        " sends the whole URL, as in: GET http://example.com/ HTTP/1.1"
    )
    return Own(errors.own(404, Reason.SELF, sentence), Reason.SELF)


def _page(text: str) -> Answer:
    lines = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    return Answer(ResponseHead(200, "OK", Fields(lines)), Inline(text.encode("latin-1")))


def _late(sentence: str) -> Own:
    reason = Reason.REQUEST_TIMEOUT
    return Own(errors.own(408, reason, sentence, error="http_request_error"), reason, close=True)


LATE: Final = _late("The request head did not come in time.")
LATE_BODY: Final = _late("The request body did not come in time: nothing came for too long.")
