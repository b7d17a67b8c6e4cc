"""How the workers of a proxy ask one another what they know.

Each listens on a socket in a folder that nobody else can enter. A question is one connection:
length and MessagePack, there and back. Who does not answer within a second is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from proxy.exchange.record import ExchangeRecord  # noqa: TC001 - msgspec reads the type

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("forecache")

PATIENCE: Final = 1.0  # seconds
_LENGTH: Final = 4  # octets
_MOST: Final = 2**20  # octets of a question
_T = TypeVar("_T")


class Named(msgspec.Struct, frozen=True, array_like=True):
    """An exchange, by the id that is shown of it."""

    id: str
    record: ExchangeRecord


class Seen(msgspec.Struct, frozen=True):
    """Exchanges in their order, and the number of the latest there is."""

    exchanges: list[Named]
    upto: int


class AskState(msgspec.Struct, frozen=True, tag=True):
    """Answered by a ``State``; ``series``: how it went over time, too."""

    series: bool = True


class AskLatest(msgspec.Struct, frozen=True, tag=True):
    """Answered by a list of ``Named``: the latest exchanges, or GET requests for a target."""

    most: int
    target: str = ""


class AskAfter(msgspec.Struct, frozen=True, tag=True):
    """Answered by ``Seen``: what ended after that number of each worker, or from now on."""

    places: dict[int, int]
    most: int


class AskExchange(msgspec.Struct, frozen=True, tag=True):
    """Answered by a list of ``Named``, with one or none."""

    id: str


class AskUses(msgspec.Struct, frozen=True, tag=True):
    """Answered by hits and last use by key, once: they are forgotten then."""


class AskUnderWay(msgspec.Struct, frozen=True, tag=True):
    """Answered by the keys for which an origin is being asked, or something is being stored."""


class AskSettled(msgspec.Struct, frozen=True, tag=True):
    """Answered when what has all its octets is stored under that key, or never will be."""

    key: str


Question = AskState | AskLatest | AskAfter | AskExchange | AskUses | AskUnderWay | AskSettled
Answer = Callable[[Question], Awaitable[object]]
_decode: Final = msgspec.msgpack.Decoder(Question).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Peers:
    """The other workers, by number. Without any, there is nobody to ask, and nothing to do."""

    def __init__(self, folder: Path | None = None, worker: int = 0, workers: int = 1) -> None:
        self._own = "" if folder is None else f"{folder}/{worker}"
        self._others = {n: f"{folder}/{n}" for n in range(workers) if n != worker}
        self._server: asyncio.Server | None = None

    @property
    def numbers(self) -> list[int]:
        """Which there should be."""
        return list(self._others)

    async def listen(self, answer: Answer) -> None:
        """Answer them from now on, until ``close``."""
        if not self._own:
            return

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(PATIENCE):
                    _write(writer, await answer(_decode(await _read(reader, _MOST))))
                    await writer.drain()
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                log.debug("another worker did not wait for an answer: %r", error)
            finally:
                writer.close()

        self._server = await asyncio.start_unix_server(serve, self._own)

    async def ask(self, question: Question, answer: type[_T]) -> dict[int, _T]:
        """What those say who answer, by number."""
        if not self._others:
            return {}
        asked = [self._ask(path, question) for path in self._others.values()]
        said = zip(self._others, await asyncio.gather(*asked), strict=True)
        decode = msgspec.msgpack.Decoder(answer).decode
        return {number: decode(octets) for number, octets in said if octets is not None}

    async def _ask(self, path: str, question: Question) -> bytes | None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    _write(writer, question)
                    return await _read(reader, None)
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def _write(writer: asyncio.StreamWriter, value: Any) -> None:
    octets = _encode(value)
    writer.write(len(octets).to_bytes(_LENGTH) + octets)


async def _read(reader: asyncio.StreamReader, most: int | None) -> bytes:
    """Raises IncompleteReadError, OSError."""
    length = int.from_bytes(await reader.readexactly(_LENGTH))
    if most is not None and length > most:
        raise OSError(f"a question of {length} octets")
    return await reader.readexactly(length)
