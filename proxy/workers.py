"""Several processes that serve one port, and the one that starts them and starts them again.

The supervisor has no threads and no event loop, so that a fork of it begins clean. It keeps the
sockets of all workers: what has queued for one that died is accepted by its successor.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from proxy import app
from proxy.frontend.options import Listener
from proxy.posts import DRAIN, REOPEN, STOP, Post, posts
from proxy.store.generations import MOST_PROCESSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config import Settings

log = logging.getLogger("forecache")

SHORTEST: Final = 0.5  # seconds before a worker that has ended twice is started again
LONGEST: Final = 30.0
LASTING: Final = 60.0  # seconds; who lives as long is not one that keeps dying
_SIGNALS: Final = (
    signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD,
)  # fmt: skip


def run(settings: Settings) -> int:
    """Serve with as many workers as there should be. Returns the exit code."""
    app.say(settings)
    workers = count(settings.server.workers)
    if workers == 1:
        return app.run(settings)
    folder = Path(tempfile.mkdtemp(prefix="forecache-"))
    try:
        return Supervisor(settings, posts(settings, workers), folder).run()
    except OSError as error:
        log.error("%s", error.strerror or error)  # noqa: TRY400 - it says what to do
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def count(workers: int | str) -> int:
    """``[server] workers``; "auto" is one for each core that this process may use."""
    if isinstance(workers, int):
        return workers
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_PROCESSES)


def pause_after(ends: int) -> float:
    """Seconds before a worker is started again that has ended so many times in a row."""
    return 0.0 if ends < 2 else min(SHORTEST * 2.0 ** min(ends - 2, 10), LONGEST)


class _Worker:
    """One of them, through all the processes that it has been."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.pid = 0  # 0: there is none now
        self.orders: socket.socket | None = None
        self.ready = False  # it has been, at least once
        self.began = 0.0
        self.ends = 0  # times that it ended soon after it had begun
        self.due = 0.0

    def tell(self, order: bytes) -> None:
        if self.orders is not None:
            with contextlib.suppress(OSError):
                self.orders.send(order)


class Supervisor:
    """``run`` it once."""

    def __init__(self, settings: Settings, posts: Sequence[Post], folder: Path) -> None:
        self._settings = settings
        self._workers = [_Worker(post._replace(folder=folder)) for post in posts]
        self._admin = posts[0].admin
        self._stopping = False
        self._announced = False
        self._code = 0
        self._woken, self._wake = socket.socketpair()

    def run(self) -> int:
        """Until all workers have ended. Returns the exit code."""
        self._listen_to_signals()
        gc.collect()
        gc.freeze()  # what the workers share stays as it is
        for worker in self._workers:
            self._start(worker)
        while any(worker.pid for worker in self._workers) or not self._stopping:
            self._wait()
            for number in self._signals():
                self._heed(number)
            self._hear()
            self._reap()
            self._start_again()
        if self._admin is not None:
            self._admin.release()
        return self._code

    def _listen_to_signals(self) -> None:
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def _signals(self) -> bytes:
        try:
            return self._woken.recv(256)
        except BlockingIOError:
            return b""

    def _wait(self) -> None:
        """Until a signal comes, a worker says something, or one is due."""
        due = [worker.due for worker in self._workers if worker.due]
        left = max(0.0, min(due) - time.monotonic()) if due and not self._stopping else None
        orders = [worker.orders for worker in self._workers if worker.orders is not None]
        select.select([self._woken, *orders], [], [], left)

    def _heed(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._tell(STOP)
            else:
                log.info(app.STOPPING)
                self._stop()
        elif number == signal.SIGUSR1:
            self._tell(REOPEN)
        elif number == signal.SIGHUP:
            app.unheard()

    def _stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            for sock in worker.post.listeners:
                sock.close()
        self._tell(DRAIN)

    def _tell(self, order: bytes) -> None:
        for worker in self._workers:
            worker.tell(order)

    # Workers come and go.

    def _start(self, worker: _Worker) -> None:
        worker.orders, theirs = socket.socketpair()
        for end in (worker.orders, theirs):
            end.setblocking(False)
        worker.began, worker.due = time.monotonic(), 0.0
        # A signal that the child gets before it has put off our ways of heeding it would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        worker.pid = os.fork()
        if not worker.pid:
            self._work(worker, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()

    def _work(self, worker: _Worker, orders: socket.socket) -> NoReturn:
        """The child, from beginning to end."""
        code, supervisor = 1, os.getppid()
        try:
            signal.set_wakeup_fd(-1)
            # A terminal and a service manager tell all processes; the supervisor says it once.
            for number in _SIGNALS:
                ignored = number is not signal.SIGCHLD
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._leave_to_others(worker)
            code = app.run(self._settings, worker.post._replace(orders=orders))
        except BaseException:
            log.exception("worker %d failed", worker.post.worker)
        finally:
            if os.getppid() != supervisor and worker.post.folder is not None:
                shutil.rmtree(worker.post.folder, ignore_errors=True)  # nobody else will
            logging.shutdown()
            os._exit(code)

    def _leave_to_others(self, worker: _Worker) -> None:
        """What is open for them: they are to hear when the supervisor or one of them ends."""
        self._woken.close()
        self._wake.close()
        ours = set(worker.post.listeners)
        for other in self._workers:
            if other.orders is not None:
                other.orders.close()
            for sock in set(other.post.listeners) - ours:
                sock.close()
        if self._admin is not None and worker.post.worker:
            self._admin.leave()

    def _hear(self) -> None:
        """Those who are ready say how many octets are in the cache."""
        used = 0
        for worker in self._workers:
            if worker.orders is None:
                continue
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if said := worker.orders.recv(64):
                    worker.ready, used = True, int(said)
        if self._announced or self._stopping:  # then there are no addresses any more
            return
        if all(worker.ready for worker in self._workers):
            self._announced = True
            addresses = [Listener(*address) for address in self._workers[0].post.addresses]
            app.announce(self._settings, used, [*map(str, addresses)])
            log.info("workers: %s", " ".join(str(worker.pid) for worker in self._workers))

    def _reap(self) -> None:
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        pid, worker.pid = worker.pid, 0
        if worker.orders is not None:
            worker.orders.close()
            worker.orders = None
        if self._stopping:
            return
        how = f"code {code}" if code >= 0 else signal.Signals(-code).name
        if not worker.ready:
            log.error("worker %d (%d) ended with %s before it served", worker.post.worker, pid, how)
            self._code = max(code, 1)
            self._stop()
            return
        now = time.monotonic()
        worker.ends = 1 if now - worker.began > LASTING else worker.ends + 1
        pause = pause_after(worker.ends)
        log.error(
            "worker %d (%d) ended with %s; its connections are lost, it is started again in %.1f s",
            worker.post.worker, pid, how, pause,
        )  # fmt: skip
        worker.due = now + pause

    def _start_again(self) -> None:
        for worker in self._workers:
            if worker.due and not self._stopping and worker.due <= time.monotonic():
                self._start(worker)
