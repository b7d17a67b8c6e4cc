"""The access log: records in on the event loop, lines out on a thread of its own.

Nothing on the loop formats, writes, counts or waits. Whoever else wants records gets them there in
batches, whether or not they are written. The buffer is bounded, in number and in octets: when the
writer cannot keep up (a blocked pipe, a full disk) records are dropped, counted, and the count is
logged.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from proxy.admin import formats
from proxy.admin.batches import batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    from proxy.admin.batches import Batch
    from proxy.exchange.record import ExchangeRecord, What

logger = logging.getLogger(__name__)

OFF: Final = "off"
STDOUT: Final = 1
BUFFERED: Final = 65536
WAKE_AT: Final = 8192
BATCH: Final = 4096
LINES: Final = 512  # that are written at a time
FEW: Final = 32  # the same where they may be long
OCTETS: Final = 6 * 2**20  # of what the records say that wait, or are being written
REST: Final = 0.001  # seconds between steps, in which the loop has the interpreter for itself
INTERVAL: Final = 1.0
CLOSE_TIMEOUT: Final = 5.0
WARN_EVERY: Final = 60.0

_BESIDE: Final = 100  # octets of a record that is held

_FORMATS: Final = {"squid": formats.squid, "combined": formats.combined, "json": formats.json}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The section ``[log]``. ``access``: "-" for stdout, a path, or "off"."""

    access: str = "-"
    format: Literal["squid", "combined", "json"] = "squid"
    level: Literal["debug", "info", "warning", "error"] = "info"


Consumer = Callable[["Batch"], None]


def open_log(
    options: LogOptions, consumers: Sequence[Consumer] = (), turns: Path | None = None
) -> AccessLog | None:
    """The log that the options ask for; None for "off" if nobody else wants the records.

    ``turns``: a file by whose lock several processes take turns. Raises OSError that names the log.
    """
    if options.access == OFF and not consumers:
        return None
    try:
        return AccessLog(options, consumers, turns)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot open the access log {options.access}: {error.strerror}"
        ) from error


class _Held:
    """What records say that wait, each once: hits mostly say the same."""

    __slots__ = ("octets", "whats")

    def __init__(self) -> None:
        self.octets = 0
        self.whats: set[What] = set()


class AccessLog:
    """``observe`` is an ``exchange.record.Observer``. Whoever opens it calls ``close``."""

    def __init__(
        self, options: LogOptions, consumers: Sequence[Consumer] = (), turns: Path | None = None
    ) -> None:
        self._turns = None if turns is None else _open_private(str(turns), os.O_CREAT | os.O_WRONLY)
        self._consumers = consumers
        self._refused = 0
        self._lost = 0
        self._options = options
        self._format = _FORMATS[options.format]
        self._records: deque[ExchangeRecord] = deque()
        self._held = _Held()
        self._writing = _Held()
        self._file = self._open()
        self._wake = threading.Event()
        self._closing = False
        self._reopening = False
        self._reported = 0
        self._warn_after = 0.0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def observe(self, record: ExchangeRecord) -> None:
        """Take one record: well under a microsecond, whatever the disk does."""
        waiting = len(self._records)
        if waiting >= BUFFERED:
            self._refused += 1
            return
        if record.what not in self._held.whats and not self._hold(record.what):
            self._refused += 1
            return
        self._records.append(record)
        if waiting == WAKE_AT:
            self._wake.set()

    def _hold(self, what: What) -> bool:
        """Whether there is room for it."""
        held, octets = self._held, _BESIDE + what.octets
        if held.octets + self._writing.octets + octets > OCTETS:
            return False
        held.whats.add(what)
        held.octets += octets
        if held.octets > OCTETS // 4 and not self._wake.is_set():
            self._wake.set()
        return True

    @property
    def dropped(self) -> int:
        """Records that found no room, and those whose writing failed."""
        return self._refused + self._lost

    def reopen(self) -> None:
        """Close and open the file again, as log rotation wants it; at once, but off the loop."""
        self._reopening = True
        self._wake.set()

    def close(self) -> None:
        """Write what is buffered and end the thread; a writer that is stuck is left behind."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT)

    def _open(self) -> FileIO | None:
        if self._options.access == OFF:
            return None
        if self._options.access == "-":
            return open(STDOUT, "wb", buffering=0, closefd=False)
        path = Path(self._options.access).expanduser()
        return open(path, "ab", buffering=0, opener=_open_private)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._wake.wait(INTERVAL)
                self._wake.clear()
                self._turn()
            self._turn()
        finally:
            if self._file is not None:
                self._file.close()
            if self._turns is not None:
                os.close(self._turns)

    def _turn(self) -> None:
        """Write what is buffered; only then reopen, so that it is in the file that was rotated."""
        self._attempt(self._drain)
        if self._reopening:
            self._reopening = False
            self._attempt(self._reopen)
        if self._refused > self._reported:
            self._reported = self._refused
            self._warn("the access log cannot keep up: %d records dropped", self.dropped)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._warn("the access log cannot be written: %s; %d dropped", error, self.dropped)

    def _drain(self) -> None:
        while self._records:
            # The loop begins to count anew; what it adds meanwhile is in one count or the other.
            self._writing, self._held = self._held, _Held()
            left, failure = len(self._records), None
            while left:
                count = min(BATCH, left)
                left -= count
                try:
                    self._take_batch(count)
                except OSError as error:
                    failure = error  # these are lost; others want to be counted, and waited for
            self._writing = _Held()
            if failure is not None:
                raise failure

    def _reopen(self) -> None:
        before, self._file = self._file, self._open()
        if before is not None:
            before.close()

    def _take_batch(self, count: int) -> None:
        """Write so many records, which are there."""
        # popleft and append are each atomic: the loop may add while this thread takes.
        take = self._records.popleft
        records = [take() for _ in range(count)]
        if self._consumers:
            for batch in batches(records):
                self._hand_on(batch)
        if self._file is None:
            return
        for first in range(0, len(records), LINES):
            try:
                self._write_lines(self._file, records[first : first + LINES])
            except OSError:
                self._lost += len(records) - first
                raise
            self._rest(records)

    def _hand_on(self, batch: Batch) -> None:
        for consumer in self._consumers:
            try:
                consumer(batch)
            except Exception:
                logger.exception("%d records were not counted", len(batch.records))
            self._rest(batch.records)

    def _rest(self, records: Sequence[ExchangeRecord]) -> None:
        """Whoever has much to do does it in steps; a hit would wait for all of them."""
        if len(records) > LINES and not self._closing:
            time.sleep(REST)

    def _write_lines(self, file: FileIO, records: Sequence[ExchangeRecord]) -> None:
        step = LINES if self._writing.octets <= LINES * 2048 else FEW
        with self._our_turn(file):
            for first in range(0, len(records), step):
                self._write(self._format(records[first : first + step]).encode())

    @contextlib.contextmanager
    def _our_turn(self, file: FileIO) -> Iterator[None]:
        """A file takes the lines of each process whole; a pipe would tear long ones apart."""
        if self._turns is None or stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield
            return
        fcntl.lockf(self._turns, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._turns, fcntl.LOCK_UN)

    def _write(self, lines: bytes) -> None:
        file, rest = self._file, memoryview(lines)
        while file is not None and rest:
            if (count := file.write(rest)) is None:
                # Somebody made our stdout non-blocking.
                select.select([], [file], [], INTERVAL)
            else:
                rest = rest[count:]

    def _warn(self, message: str, *details: object) -> None:
        """At most once a minute."""
        now = time.monotonic()
        if now >= self._warn_after:
            self._warn_after = now + WARN_EVERY
            logger.warning(message, *details)


def _open_private(path: str, flags: int) -> int:
    """Who reads what clients fetched is for the owner to say: nobody else by default."""
    return os.open(path, flags, 0o640)
