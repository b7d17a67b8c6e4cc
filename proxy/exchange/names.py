"""Names for bodies and exchanges: unique in a cache folder that several processes share.

Not drawn from the system each time: that gives the interpreter lock away, and the loop waits
for its turn behind the store's threads.
"""

from __future__ import annotations

import itertools
import os
import secrets
from typing import TYPE_CHECKING, Final

from proxy.semantics.messages import ResponseHead

if TYPE_CHECKING:
    from proxy.exchange.answer import Outcome

FIELD: Final = "Forecache-Exchange"  # what the exchange is called, in its answer

_NUMBERS: Final = itertools.count()
_EXCHANGES: Final = itertools.count(1)


def _name_process() -> None:
    """Once, and again in each process that is forked from this one."""
    global _process  # noqa: PLW0603
    _process = secrets.token_hex(10)


_process: str
_name_process()
os.register_at_fork(after_in_child=_name_process)


def body_id() -> str:
    """A name that no other body has; lower-case hexadecimal digits."""
    return f"{_process}{next(_NUMBERS):012x}"


def exchange_id() -> str:
    """A name for an exchange, short enough to be read out: ``x3f9c2a81-17``."""
    return f"x{_process[:8]}-{next(_EXCHANGES)}"


def identified(outcome: Outcome) -> Outcome:
    """With a field that says what the exchange is called."""
    name = exchange_id()
    head = outcome.answer.head
    fields = head.fields.adding((FIELD, name))
    answer = outcome.answer._replace(head=ResponseHead(head.status, head.reason, fields))
    return outcome._replace(answer=answer, id=name)
