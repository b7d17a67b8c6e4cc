"""How a listener is written."""

import re

import pytest

from proxy.frontend.options import Listener, parse_listener

param = pytest.param


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        param("127.0.0.1:3128", "127.0.0.1", 3128, id="IPv4"),
        param("[::1]:3128", "::1", 3128, id="IPv6"),
        param("0.0.0.0:0", "0.0.0.0", 0, id="everywhere, any port"),
        param("localhost:8080", "127.0.0.1", 8080, id="localhost"),
    ],
)
def test_listeners(text: str, host: str, port: int) -> None:
    assert parse_listener(text) == Listener(host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        param("3128", "127.0.0.1:3128", id="port alone"),
        param(":3128", "0.0.0.0:3128", id="colon and port"),
        param("*:3128", "0.0.0.0:3128", id="star"),
        param("::1:3128", "[::1]:3128", id="IPv6 without brackets"),
        param("127.0.0.1", "write 127.0.0.1:3128", id="address alone"),
        param("127.0.0.1:http", "'http' is not a port", id="service name"),
        param("127.0.0.1:65536", "from 0 to 65535", id="port too large"),
        param("127.0.0.1:", "'' is not a port", id="no port"),
        param("proxy.example:3128", "write an IP address", id="name"),
        param("http://127.0.0.1:3128", "is not a listener", id="URL"),
        param("", "is not a listener", id="empty"),
    ],
)
def test_a_bad_listener_is_told_what_was_meant(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_listener(text)


@pytest.mark.parametrize(
    ("text", "loopback", "everywhere"),
    [
        param("127.0.0.1:1", True, False, id="loopback"),
        param("[::1]:1", True, False, id="IPv6 loopback"),
        param("0.0.0.0:1", False, True, id="every IPv4 address"),
        param("[::]:1", False, True, id="every address"),
        param("10.0.0.1:1", False, False, id="one address"),
    ],
)
def test_reach(text: str, loopback: bool, everywhere: bool) -> None:
    listener = parse_listener(text)
    assert (listener.is_loopback, listener.is_everywhere) == (loopback, everywhere)
    assert str(listener) == text
