"""Sockets that listen, and several that share a port."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.frontend import listening as module
from proxy.frontend.listening import listening, spread
from proxy.frontend.options import Listener

ANY = Listener("127.0.0.1", 0)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def port(sock: socket.socket) -> int:
    found: int = sock.getsockname()[1]
    return found


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_it_listens_at_once(opened: ExitStack) -> None:
    sock = opened.enter_context(listening(ANY, "What to do."))
    opened.enter_context(socket.create_connection(("127.0.0.1", port(sock))))
    assert accepted(sock) == 1


def test_ipv6_is_ipv6_alone(opened: ExitStack) -> None:
    sock = opened.enter_context(listening(Listener("::1", 0), ""))
    assert sock.family == socket.AF_INET6
    assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("theirs", [1, 2])
def test_a_port_that_is_taken_is_an_error(opened: ExitStack, theirs: int, count: int) -> None:
    other = [opened.enter_context(sock) for sock in spread(ANY, theirs, "")]
    taken = Listener("127.0.0.1", port(other[0]))
    with pytest.raises(OSError, match=rf"^\[Errno \d+\] cannot listen on {taken}: .+\. Do this$"):
        spread(taken, count, "Do this")


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel spreads connections")
def test_each_gets_its_share(opened: ExitStack) -> None:
    sockets = [opened.enter_context(sock) for sock in spread(ANY, 3, "")]
    assert len({port(sock) for sock in sockets}) == 1
    for _ in range(90):
        opened.enter_context(socket.create_connection(("127.0.0.1", port(sockets[0]))))
    shares = [accepted(sock) for sock in sockets]
    assert sum(shares) == 90
    assert min(shares) > 5


def test_elsewhere_they_share_one(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPREADS", False)
    one, *others = spread(ANY, 3, "")
    opened.enter_context(one)
    assert others == [one, one]
