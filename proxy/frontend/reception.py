"""What a request head asks of us: a decision on values, before anything is done."""

from __future__ import annotations

from ipaddress import ip_address
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
    """CONNECT to an authority that access lets through by port, and by address if it is one."""

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
            return _exchanged(head, uri, local)
        case Authority(host, port):
            return _connect(host, port, rules)
        case OriginForm(path) if inside is not None:
            return _inside(head, inside, path, local)
        case Asterisk() if inside is not None:
            return _inside(head, inside, "*", local)
        case OriginForm(path):
            return about(head, path)
        case Asterisk():
            return Own(own.capabilities(), Reason.SELF)


def _connect(host: str, port: int, rules: Rules) -> Reception:
    verdict = rules.connect_port(port)
    if isinstance(verdict, Denied):
        reason = Reason.DENIED_PORT
        answer = errors.own(403, reason, verdict.sentence, error="http_request_denied")
        return Own(answer, reason)
    if _is_address(host):
        # A name is judged when it has been resolved.
        verdict = rules.destination(host, port, host)
        if isinstance(verdict, Denied):
            reason = Reason.DENIED_DESTINATION
            answer = errors.own(403, reason, verdict.sentence, error="destination_ip_prohibited")
            return Own(answer, reason)
    return Connect(host, port)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _inside(head: RequestHead, inside: Origin, path: str, local: bool) -> Reception:
    """RFC 9110 §7.1: the target URI is that of the authority which the client connected to."""
    named = head.fields.get("host")
    other = ""
    if named is not None:
        try:
            other = named if targets.parse_origin(inside.scheme, named) != inside else ""
        except BadTarget as error:
            return refused(400, f"The Host field cannot be used: {error}.")
    return _exchanged(head, targets.resolve(inside, path), local, other)


def _exchanged(head: RequestHead, uri: TargetURI, local: bool, host: str = "") -> Exchanged:
    """RFC 9110 §7.6.1: what Connection takes out must not select a variant either."""
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
