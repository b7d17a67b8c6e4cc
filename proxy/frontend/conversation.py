"""One request that needs a task: from the exchange's answer to the last octet, or to a tunnel."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from proxy.exchange import errors
from proxy.exchange.answer import Inbound, Inline, Outcome, Tunnel, release
from proxy.exchange.names import identified
from proxy.exchange.record import ExchangeRecord, What
from proxy.exchange.tasks import spawn
from proxy.frontend import tunnel
from proxy.frontend.reception import LATE_BODY, Own, unreadable
from proxy.frontend.sender import Disconnected
from proxy.policy.reasons import Reason
from proxy.store.base import BodyLost
from proxy.upstream.base import ClientGone, UpstreamError
from proxy.wire.framing import Sized

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from proxy.exchange.answer import Answer
    from proxy.exchange.repeating import Repeating
    from proxy.frontend.connection import Connection
    from proxy.frontend.door import Door
    from proxy.frontend.inbound import InboundBody
    from proxy.semantics.messages import Request, RequestHead, ResponseHead
    from proxy.wire.framing import Framing

log = logging.getLogger("forecache")


class Conversation:
    """Lives with one request; ends by telling the connection whether to keep going."""

    __slots__ = (
        "_answering",
        "_body",
        "_connection",
        "_door",
        "_head",
        "_keep",
        "_peer",
        "_repeating",
        "_started",
        "_target",
        "_task",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        door: Door,
        head: RequestHead,
        body: InboundBody | None,
        keep: bool,
    ) -> None:
        self._connection = connection
        self._door = door
        self._head = head
        self._body = body
        self._keep = keep
        self._started = time.time()
        self._answering = False
        self._task: asyncio.Task[None] | None = None
        self._repeating: Repeating | None = None
        self._target = head.target
        self._peer = "-"

    def cancel(self) -> None:
        """The client is gone."""
        if self._task is not None:
            self._task.cancel()
        if self._repeating is not None:
            self._repeating.cancel()

    def exchange(self, request: Request, framing: Framing) -> None:
        """Answer it, in a task unless it is known what the origin will say."""
        self._target, self._peer = str(request.uri), request.uri.origin.host
        length = framing.length if isinstance(framing, Sized) else None
        logins = self._connection.logins
        bound = logins.at(request.uri.origin) if logins is not None else None
        client = self._connection.counted_as
        inbound = Inbound(request, self._body, length, self._interim, bound, client)
        exchange = self._door.exchange
        if request.method == "PURGE" and not request.host:
            verdict = self._door.rules.purge(self._connection.client)
            if verdict is not None:
                coming = exchange.purge(request, verdict)
                self._task = spawn(self._exchange(request, coming), "purge")
                return
        plain = self._keep and self._head.minor and self._body is None and bound is None
        if plain and not self._door.options.exchange_ids:
            self._repeating = exchange.repeat(inbound, self._heard)
        if self._repeating is None:
            self._task = spawn(self._exchange(request, exchange.handle(inbound)), "exchange")

    def _heard(self) -> None:
        """The origin has answered what was sent without a task."""
        repeating, self._repeating = self._repeating, None
        assert repeating is not None
        heard = time.time()
        try:
            answer = repeating.answer()
        except Exception:
            log.exception("%s %s failed", self._head.method, self._target)
            self._told_internal()
            return
        if answer is None:
            self._repeating = repeating
            request, coming = repeating.errand.inbound.request, self._door.exchange.hear(repeating)
            self._task = spawn(self._exchange(request, coming), "exchange")
            return
        keep = self._begin_answer()
        sent = self._connection.sender.send_octets(*answer)
        echo, fields, now = repeating.echo, self._head.fields, time.time()
        self._door.observe(
            ExchangeRecord(
                self._started, now - self._started, self._connection.client, What(
                    self._head.method, self._target, self._head.minor, echo.status, sent,
                    echo.reason, echo.content_type, echo.asked.status, self._peer,
                    fields.get("referer") or "-", fields.get("user-agent") or "-",
                    asked=heard - repeating.started,
                ),
            )
        )  # fmt: skip
        self._connection.answered(keep)

    async def _exchange(self, request: Request, coming: Awaitable[Outcome]) -> None:
        outcome: Outcome | None = None
        whole = keep = told = False
        before = self._connection.sender.sent
        try:
            outcome = self._named(await coming)
            keep = await self._send(request, outcome.answer)
            whole = True
        except (ClientGone, Disconnected, UpstreamError, BodyLost) as error:
            log.debug("%s was cut: %s", self._target, error)
            told = self._told_unread()
        except Exception:
            log.exception("%s %s failed", self._head.method, self._target)
            told = self._told_internal()
        finally:
            self._task = None  # or a cancelled one, its frames and all they hold are a cycle
            if not told:
                self._observed(outcome, self._connection.sender.sent - before, whole)
            if not whole and not told:
                release(None if outcome is None else outcome.answer.body)
                self._connection.broken()
        if not whole:
            return
        if outcome is not None and isinstance(outcome.answer.body, Tunnel):
            self._upgraded(outcome.answer.body)
        else:
            self._connection.answered(keep)

    async def _send(self, request: Request, answer: Answer) -> bool:
        keep, (head, body) = self._begin_answer(), answer
        if isinstance(body, Inline):
            self._connection.sender.send_inline(self._head, head, body.data, keep)
            return keep
        keep = await self._connection.sender.send(request, answer, keep)
        if isinstance(body, Tunnel):
            await body.upstream.sent()
        return keep

    def _named(self, outcome: Outcome) -> Outcome:
        """With the name of the exchange, if every answer has one."""
        named = outcome.id or not self._door.options.exchange_ids
        return outcome if named else identified(outcome)

    def _told_unread(self) -> bool:
        """Whether it ended for its body, and the client could still be told so."""
        body = self._body
        if body is None or self._answering or not (body.malformed or body.late):
            return False
        own = unreadable(body.malformed) if body.malformed else LATE_BODY
        self._connection.refuse(own, self._head)
        return True

    def _told_internal(self) -> bool:
        """Our own fault: whether the client could still be told so."""
        if self._answering:
            return False
        sentence = "The proxy failed on this request; its log says how. Trying again may help."
        reason = Reason.INTERNAL
        answer = errors.own(500, reason, sentence, error="proxy_internal_error")
        self._connection.refuse(Own(answer, reason, close=True), self._head)
        return True

    def _begin_answer(self) -> bool:
        """Returns whether the connection may go on after it."""
        self._answering = True
        consumed = self._body is None or self._body.complete
        return self._keep and consumed and not self._door.draining

    def _interim(self, head: ResponseHead) -> None:
        # RFC 9110 §15.2: a 1xx is not for HTTP/1.0 clients.
        if self._head.minor > 0 and not self._answering:
            self._connection.sender.interim(self._door.exchange.interim(head))

    def _observed(self, outcome: Outcome | None, sent: int, whole: bool) -> None:
        head = outcome.answer.head if outcome is not None else None
        fields = self._head.fields
        self._door.observe(
            ExchangeRecord(
                start=self._started,
                elapsed=time.time() - self._started,
                client=self._connection.client,
                what=What(
                    method=self._head.method,
                    target=self._target,
                    minor=self._head.minor,
                    status=head.status if head is not None else 0,
                    sent=sent,
                    reason=outcome.reason if outcome is not None else Reason.CLIENT_GONE,
                    content_type=(head.fields.first("content-type") if head is not None else None)
                    or "-",
                    forward_status=outcome.forward_status if outcome is not None else 0,
                    peer=self._peer if outcome is not None and outcome.forward_status else "-",
                    referer=fields.get("referer") or "-",
                    user_agent=fields.get("user-agent") or "-",
                    aborted=not whole,
                    id=outcome.id if outcome is not None else "",
                    asked=outcome.asked if outcome is not None else 0.0,
                ),
            )
        )

    def _upgraded(self, body: Tunnel) -> None:
        transport, early = body.upstream.detach()
        tunnel.join(self._connection, self._door, self._head, transport, early, self._started)
