"""Where a connection is."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """What the sweep may do to the connection follows from it."""

    HEAD = 0  # waiting for a request, or for the rest of its head
    BUSY = 1  # a request is being answered
    SNIFF = 2  # CONNECT was granted: the first octets tell what is inside
    LINGER = 3  # refused: read and forget until the client closes
    GONE = 4
