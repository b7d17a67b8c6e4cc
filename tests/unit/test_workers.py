"""How many workers there are, and how soon one is started again; the rest is in integration."""

import os
import socket
from pathlib import Path

import pytest

from proxy.config import load
from proxy.posts import Post
from proxy.workers import LONGEST, SHORTEST, Supervisor, count, pause_after


@pytest.mark.parametrize("workers", [1, 7])
def test_as_many_as_are_asked_for(workers: int) -> None:
    assert count(workers) == workers


def test_auto_is_one_for_each_core_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert count("auto") == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(500)), raising=False)
    assert count("auto") == 64
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count("auto") == 1


def test_the_first_end_is_forgiven_and_then_patience_is_asked_for() -> None:
    pauses = [pause_after(ends) for ends in range(1, 6)]
    assert pauses == [0.0, SHORTEST, 2 * SHORTEST, 4 * SHORTEST, 8 * SHORTEST]
    assert pause_after(1000) == LONGEST


def test_who_is_ready_when_all_are_to_stop_is_not_announced(tmp_path: Path) -> None:
    post = Post((socket.create_server(("127.0.0.1", 0)),), None, "forecache-test")
    supervisor = Supervisor(load(None, environ={}), [post], tmp_path)
    worker = supervisor._workers[0]
    worker.orders, theirs = socket.socketpair()
    supervisor._stop()
    theirs.send(b"1\n")
    supervisor._hear()
    assert worker.ready
    for sock in (worker.orders, theirs, supervisor._woken, supervisor._wake):
        sock.close()
