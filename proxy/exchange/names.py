"""Names for bodies: unique in a cache folder that several processes share.

Not drawn from the system each time: that gives the interpreter lock away, and the loop waits
for its turn behind the store's threads.
"""

from __future__ import annotations

import itertools
import secrets
from typing import Final

_PROCESS: Final = secrets.token_hex(10)
_NUMBERS: Final = itertools.count()


def body_id() -> str:
    """A name that no other body has; lower-case hexadecimal digits."""
    return f"{_PROCESS}{next(_NUMBERS):012x}"
