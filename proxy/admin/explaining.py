"""What would happen to a request: policy's clauses, and beside them those of the other floors.

Nothing is decided here, either: access, codings and the exchange are asked what they would say.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from proxy.access.rules import Denied
from proxy.codings.registry import Coding, chain
from proxy.codings.transform import AsStored, Decode, Encode, Kept
from proxy.exchange import errors
from proxy.policy import reuse
from proxy.policy.clauses import Clause, Verdict, cut, info
from proxy.policy.explain import explain, onward
from proxy.policy.reasons import Reason
from proxy.semantics.negotiation import accepted
from proxy.semantics.targets import Origin
from proxy.upstream.base import NotReached
from proxy.upstream.connect import prohibited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.access.rules import Rules
    from proxy.codings.transform import Form
    from proxy.exchange.exchange import Exchange
    from proxy.exchange.forms import View
    from proxy.policy.explain import Explanation
    from proxy.policy.options import Options
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.messages import Request
    from proxy.store.base import Found
    from proxy.upstream.fetch import Upstream

_SECTION: Final = "RFC 9110 §12.5.3"
_TUNNEL: Final = (
    "The client gets a tunnel. What comes through it is passed on unseen, but for plain HTTP:"
    " that is answered as any request is."
)


class Explained(NamedTuple):
    """``decision`` and ``reason`` are words, ``sentence`` is what the clauses come to."""

    decision: str
    reason: str
    sentence: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Explaining:
    """Asks those who would have to decide."""

    options: Options
    exchange: Exchange
    rules: Rules
    upstream: Upstream

    async def request(self, request: Request, key: str, found: Found) -> Explained:
        """``found`` is all that is stored under its ``key``."""
        barred = self.rules.request(request.uri.origin)
        if isinstance(barred, Denied):
            return _barred(barred)
        now = time.time()
        said = explain(request, found.variants, now, self.options)
        return self._admitted(request, await self._coded(request, key, said, now))

    def connect(self, host: str, port: int) -> Explained:
        """A CONNECT to that port."""
        barred = self.rules.connect(host, port)
        if isinstance(barred, Denied):
            return _barred(barred)
        allowed = Clause("access", "[access]", Verdict.YES, f"CONNECT may go to port {port}.")
        clause, denied = self._access(Origin("https", host, port))
        if denied is not None:
            return _refused(errors.reason_of(denied), clause, before=(allowed,))
        tunnel = Clause("tunnel", "RFC 9110 §9.3.6", Verdict.YES, _TUNNEL)
        return Explained("tunnel", Reason.TUNNEL.value, _TUNNEL, (allowed, clause, tunnel))

    async def _coded(
        self, request: Request, key: str, said: Explanation, now: float
    ) -> Explanation:
        """With a clause about codings, which may turn what is stored into a miss."""
        match said.decision:
            case reuse.Serve() | reuse.ServeAndRevalidate() | reuse.Revalidate() as decision:
                stored = decision.stored
                if self.exchange.suits(request, stored):
                    view = await self.exchange.forms.view(request, key, stored)
                    return _with(said, info("codings", _SECTION, _sent(request, stored, view)))
                turned = reuse.Forward(Reason.VARY_MISS)
                clause = Clause("codings", _SECTION, Verdict.NO, _unsuitable(request, stored))
                beyond = replace(
                    said, decision=turned, reason=turned.reason, onward=onward(turned, now)
                )
                return _with(beyond, clause)
            case reuse.Forward() | reuse.Complete() as decision:
                as_asked = isinstance(decision, reuse.Complete)
                asked = self.exchange.asks_for(request, as_asked=as_asked)
                clause = info("codings", _SECTION, _asked_for(*asked))
                return replace(said, onward=(clause, *said.onward))
            case _:
                return said  # refused

    def _admitted(self, request: Request, said: Explanation) -> Explained:
        """With a clause about access, which may stand in the way to the origin."""
        decision = said.decision
        clause, denied = self._access(request.uri.origin)
        waits = isinstance(decision, reuse.Forward | reuse.Revalidate | reuse.Complete)
        if denied is None or not waits:
            if denied is not None:
                text = f"{clause.text} The answer does not wait for it."
                clause = info(clause.name, clause.section, text)
            reason = "" if said.reason is None else said.reason.value
            clauses = (*said.clauses, *said.onward)
            word = type(decision).__name__.lower()
            return Explained(word, reason, _sentence(clauses), (clause, *clauses))
        return _refused(errors.reason_of(denied), clause, then=said.clauses)

    def _access(self, origin: Origin) -> tuple[Clause, NotReached | None]:
        """What access says of the way there; nothing is resolved for it."""
        host = cut(origin.host)
        try:
            addresses = self.upstream.admitted(origin)
        except NotReached as denied:
            return Clause("access", "[access]", Verdict.NO, denied.detail), denied
        if addresses is None:
            text = (
                f"Nothing is against {host} by name; its addresses are judged once they are known."
            )
            return info("access", "[access]", text), None
        text = f"Nothing is against {host}. The parent proxy connects to it."
        if addresses:
            named = "" if addresses == (origin.host,) else f" ({', '.join(addresses)})"
            text = f"The proxy may connect to {host}{named}."
        return Clause("access", "[access]", Verdict.YES, text), None


def _barred(verdict: Denied) -> Explained:
    """Refused at the door: nothing else is asked."""
    reason = errors.reason_of(prohibited(verdict))
    return _refused(reason, Clause("access", "[access]", Verdict.NO, verdict.sentence))


def _refused(
    reason: Reason,
    barring: Clause,
    before: Sequence[Clause] = (),
    then: Sequence[Clause] = (),
) -> Explained:
    return Explained("refuse", reason.value, barring.text, (*before, barring, *then))


def _sentence(clauses: Sequence[Clause]) -> str:
    """The last that says yes or no is what it comes to."""
    deciding = [clause.text for clause in clauses if clause.verdict is not Verdict.INFO]
    return deciding[-1] if deciding else ""


def _with(said: Explanation, clause: Clause) -> Explanation:
    return replace(said, clauses=(*said.clauses, clause))


# Codings.


def _sent(request: Request, stored: StoredResponse, view: View) -> str:
    whole = "range" in request.fields and "range" not in view.request.fields
    more = ", and all of it, as the range is not one of these octets" if whole else ""
    return f"{_takes(request)}. {_held(stored)}; it would be sent {_formed(view.form)}{more}."


def _unsuitable(request: Request, stored: StoredResponse) -> str:
    return (
        f"{_takes(request)}. {_held(stored)}, and these very octets or none (a signature"
        " or no-transform): the origin is asked in the client's words."
    )


def _asked_for(negotiated: bool, value: str | None) -> str:
    if negotiated:
        return (
            f"The origin is asked for {cut(value or '')}, in the proxy's own words"
            " (negotiate = true): each client gets what comes of that in a coding that it takes."
        )
    said = "without Accept-Encoding" if value is None else f"for {cut(value)}"
    return f"The origin is asked {said}, as the client says."


def _takes(request: Request) -> str:
    wanted = accepted(request.fields)
    if not wanted.stated:
        return "The client does not say which codings it takes"
    taken = sorted((each for each in Coding if wanted.q(each) > 0), key=wanted.q, reverse=True)
    names = ", ".join(each.value for each in taken)
    return f"The client takes {names}" if names else "The client takes no coding that is known"


def _held(stored: StoredResponse) -> str:
    codings = chain(stored.head.fields)
    named = cut(stored.head.fields.get("content-encoding") or "")
    coding = named if codings is None else ", ".join(codings) or "no coding"
    own = ", which is the object's own and stays for everybody" if stored.verbatim else ""
    return f"What is stored is in {coding}{own}"


def _formed(form: Form) -> str:
    match form:
        case AsStored():
            return "as it is"
        case Decode():
            return "decoded"
        case Encode(coding, ()):
            return f"encoded in {coding}"
        case Encode(coding):
            return f"decoded and encoded in {coding}"
        case Kept(coding):
            return f"in the form that is kept beside it, {coding}"
        case _:
            assert_never(form)
