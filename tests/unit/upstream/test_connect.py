from __future__ import annotations

import errno
import socket
import ssl

import pytest

from proxy.upstream.base import NotReached
from proxy.upstream.connect import blaming, is_address


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "status", "word", "sentence"),
    [
        pytest.param(
            socket.gaierror(-2, "x"), 502, "dns_error", "The name of a.example cannot be resolved."
        ),
        pytest.param(
            untrusted(),
            502,
            "tls_certificate_error",
            "a.example has a bad certificate: self-signed certificate.",
        ),
        pytest.param(ssl.SSLError(1, "x"), 502, "tls_protocol_error", "TLS with a.example failed."),
        pytest.param(
            TimeoutError(),
            504,
            "connection_timeout",
            "a.example did not take the connection in time.",
        ),
        pytest.param(
            ConnectionRefusedError(), 502, "connection_refused", "a.example refused the connection."
        ),
        pytest.param(
            ConnectionResetError(),
            502,
            "connection_terminated",
            "a.example closed the connection at once.",
        ),
        pytest.param(
            OSError(errno.EHOSTUNREACH, "x"),
            502,
            "destination_ip_unroutable",
            "There is no way to a.example.",
        ),
        pytest.param(
            OSError(errno.EMFILE, "x"),
            503,
            "proxy_internal_error",
            "The proxy has no file descriptor left.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_blame(error: OSError, status: int, word: str, sentence: str) -> None:
    with pytest.raises(NotReached) as caught, blaming("a.example"):
        raise error
    assert (caught.value.status, caught.value.word) == (status, word)
    assert caught.value.detail == sentence


@pytest.mark.parametrize(
    ("host", "answer"), [("127.0.0.1", True), ("::1", True), ("a.example", False), ("1.2.3", False)]
)
def test_is_address(host: str, answer: bool) -> None:
    assert is_address(host) is answer
