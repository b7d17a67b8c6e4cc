"""A span of a stored body to a client: the kernel copies where it can, else read and write.

``os.sendfile`` on a duplicate of the socket's descriptor works beside any event loop as long as
the transport's own buffer is empty (half the CPU of read and write). Nothing here maps the file:
one that is cut short under us ends in a short count, not in a signal.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Final

from proxy.store.base import BodyLost

if TYPE_CHECKING:
    from proxy.exchange.answer import FileSpan
    from proxy.frontend.sender import Sender

PIECE: Final = (
    2 * 1024 * 1024
)  # octets that one sendfile call moves at most: what one turn may cost
SMALL: Final = 64 * 1024  # octets below which the set-up costs more than it saves


async def send_file(sender: Sender, span: FileSpan) -> None:
    """Send the whole span. Raises Disconnected, BodyLost (cut short, unreadable)."""
    source = span.body.fileno()
    if source is None or span.length < SMALL or not hasattr(os, "sendfile"):
        await _copied(sender, span)
        return
    await _emptied(sender)
    connection = sender.transport.get_extra_info("socket")
    target = os.dup(connection.fileno())
    try:
        await _sent(sender, span, source, target)
    finally:
        os.close(target)


async def _sent(sender: Sender, span: FileSpan, source: int, target: int) -> None:
    done = 0
    while done < span.length:
        try:
            count = os.sendfile(target, source, span.offset + done, min(PIECE, span.length - done))
        except BlockingIOError:
            await _writable(sender, target)
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                raise BodyLost(str(error)) from error
            # All else is said by a socket that leads to nobody any more.
            sender.lost()
            await sender.drain()
            break
        if count == 0:
            raise BodyLost("The stored body is shorter than its record says.")
        done += count
        sender.sent += count
        await asyncio.sleep(0)  # other clients have their turn between pieces


async def _writable(sender: Sender, target: int) -> None:
    """Wait until the socket takes more. Raises Disconnected."""
    loop = asyncio.get_running_loop()
    sender.pause()
    loop.add_writer(target, sender.resume)
    try:
        await sender.drain()
    finally:
        loop.remove_writer(target)


async def _emptied(sender: Sender) -> None:
    """Wait until the transport's own buffer is empty. Raises Disconnected."""
    transport = sender.transport
    low, high = transport.get_write_buffer_limits()
    # uvloop writes at the end of the loop's turn, and does not count what waits for that.
    await asyncio.sleep(0)
    try:
        while transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # pauses now, resumes when empty
            await sender.drain()
    finally:
        if not sender.gone:
            transport.set_write_buffer_limits(high=high, low=low)


async def _copied(sender: Sender, span: FileSpan) -> None:
    done = 0
    while done < span.length:
        piece = await span.body.read_at(span.offset + done, min(256 * 1024, span.length - done))
        if not piece:
            raise BodyLost("The stored body is shorter than its record says.")
        sender.write(piece)
        done += len(piece)
        await sender.drain()
