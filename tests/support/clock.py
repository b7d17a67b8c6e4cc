"""Dates relative to now: a test ages a response by what the origin says, never by waiting."""

from __future__ import annotations

import time
from email.utils import formatdate


def http_date(offset: float = 0.0) -> str:
    """An HTTP-date (RFC 9110 §5.6.7) ``offset`` seconds from now; negative is the past."""
    return formatdate(time.time() + offset, usegmt=True)
