"""An exchange in which the origin is expected to say what it said the last time, but for Date.

If it does, one comparison of octets takes the place of reading the response. If not, ``Again``
gives way to an ordinary ``Response``, which reads what has come.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from proxy.semantics.dates import parse_date
from proxy.upstream.base import Said
from proxy.upstream.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.semantics.fields import Fields
    from proxy.upstream.base import OnInterim, Outgoing
    from proxy.upstream.connection import Connection

# RFC 9110 §5.6.7: an IMF-fixdate has 29 octets.
_DATE: Final = re.compile(rb"\r\ndate:[ \t]*([A-Z][^\r]{28})(?=\r\n)", re.IGNORECASE)
_DATE_OCTETS: Final = 29
# What could make the connection end, or the message be framed by something else than its length.
_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "www-authenticate", "age"}
)


def said(octets: bytes, fields: Fields, length: int) -> Said | None:
    """What to expect after a head of these ``octets``; None where that cannot be said."""
    # RFC 9112 §9.3: who speaks HTTP/1.0 does not keep the connection.
    if (
        not octets
        or octets.startswith(b"HTTP/1.0")
        or not _OF_THE_CONNECTION.isdisjoint(fields.names())
    ):
        return None
    dates = list(_DATE.finditer(octets))
    if len(dates) != 1 or len(fields.all("date")) != 1:
        return None
    start, end = dates[0].span(1)
    return Said(octets[:start], octets[end:], len(octets) + length)


class Again:
    """What a connection waits for. ``heard`` is called once: it has come, or something else.

    ``fits``: whether, just now, whoever asked can still do with the short answer.
    Then ``date`` is not empty and ``body`` is all of it; else ``response`` reads what has come,
    or ``error`` says why there is none. To the connection it is like a ``Response``.
    """

    __slots__ = (
        "_connection", "_fits", "_heard", "_said", "_settle", "body", "date", "error", "on_interim",
        "request", "response",
    )  # fmt: skip

    paused: ClassVar[bool] = False
    untouched: ClassVar[bool] = True
    upload: ClassVar[None] = None

    def __init__(
        self,
        request: Outgoing,
        expected: Said,
        fits: Callable[[], bool],
        heard: Callable[[], None],
        on_interim: OnInterim | None,
        settle: Callable[[Again], Coroutine[Any, Any, Response]],
    ) -> None:
        self.request = request
        self.date = ""
        self.body = b""
        self.response: Response | None = None
        self.error: BaseException | None = None
        self._said = expected
        self._fits: Callable[[], bool] | None = fits
        self._heard: Callable[[], None] | None = heard
        self.on_interim = on_interim
        self._settle = settle
        self._connection: Connection | None = None

    def on(self, connection: Connection) -> None:
        """It was sent there."""
        self._connection = connection

    def received(self, octets: bytes) -> None:
        """Raises BadMessage, and then expects that the ``response`` is told."""
        before, after, size = self._said
        end = len(before) + _DATE_OCTETS
        if (
            len(octets) == size
            and octets.startswith(before)
            and octets.startswith(after, end)
            and parse_date(date := octets[len(before) : end].decode("latin-1")) is not None
            and self._will_do()
        ):
            self.date = date
            self.body = octets[end + len(after) :]
            self._leave().finished(reusable=True)
            self._tell()
            return
        connection = self._leave()
        self.response = response = Response(connection, self.request, self.on_interim)
        connection.expect(response)
        self._tell()
        response.received(octets)

    def ended(self) -> None:
        """The origin has closed its side; that the connection is lost is said next."""

    def failed(self, error: BaseException) -> None:
        """The connection is gone, and nothing has come."""
        self._connection = None
        self.error = error
        self._tell()

    async def instead(self) -> Response:
        """What has come in place of the expected response. Raises UpstreamError."""
        return await self._settle(self)

    def close(self) -> None:
        """Nobody wants it any more."""
        self._heard = self._fits = None
        if self.response is not None:
            self.response.close()
        elif self._connection is not None:
            self._connection.abandon()

    def _leave(self) -> Connection:
        connection, self._connection = self._connection, None
        assert connection is not None, "a response arrives on its connection"
        return connection

    def _will_do(self) -> bool:
        return self._fits is not None and self._fits()

    def _tell(self) -> None:
        # What asks holds this, and would not go before the next collection of cycles.
        heard, self._heard, self._fits = self._heard, None, None
        if heard is not None:
            heard()
