"""Which fields say that a connection is being authenticated (RFC 4559 §6)."""

import pytest

from proxy.semantics.session_authentication import is_answer, is_offered, is_used
from tests.support.build import fields

param = pytest.param


@pytest.mark.parametrize(
    ("lines", "used", "answers"),
    [
        param([], False, False, id="nothing"),
        param(["Authorization: Basic TlRMTVNTUAAD"], False, False, id="Basic"),
        param(["Authorization: Bearer ntlm"], False, False, id="Bearer"),
        param(["Authorization: NTLMish x"], False, False, id="another name"),
        param(["Authorization: NTLM TlRMTVNTUAABAAAA"], True, False, id="NTLM, first"),
        param(["Authorization: ntlm TlRMTVNTUAADAAAA"], True, True, id="NTLM, second"),
        param(["Authorization: Negotiate TlRMTVNTUAABAAAA"], True, False, id="Negotiate, NTLM"),
        param(["Authorization: Negotiate  TlRMTVNTUAADAAAA"], True, True, id="its second"),
        param(["Authorization: NEGOTIATE YIIFzwYG"], True, False, id="Negotiate, first"),
        param(["Authorization: Negotiate oYIBzzCC"], True, True, id="Negotiate, second"),
        param(["Authorization: Nego2 YIIFzwYG"], True, False, id="Nego2"),
        param(["Authorization: Kerberos YIIFzwYG"], True, False, id="Kerberos"),
        param(["Authorization: Negotiate"], True, False, id="no token"),
        param(["Authorization: Negotiate\tYIIFzwYG"], True, False, id="a tab"),
        param(["Authorization: NTLM\tTlRMTVNTUAADAAAA"], True, True, id="a tab, second"),
        param(["Authorization: Basic eA==, Negotiate YIIFzwYG"], True, False, id="after another"),
        param(
            ["Authorization: Basic eA==", "Authorization: Negotiate YIIFzwYG"],
            True,
            False,
            id="on a line",
        ),
        param(["Proxy-Authorization: NTLM TlRMTVNTUAABAAAA"], False, False, id="for a proxy"),
    ],
)
def test_requests(lines: list[str], used: bool, answers: bool) -> None:
    asked = fields(*lines)
    assert (is_used(asked), is_answer(asked)) == (used, answers)


@pytest.mark.parametrize(
    ("lines", "offered"),
    [
        param([], False, id="nothing"),
        param(['WWW-Authenticate: Basic realm="x"'], False, id="Basic"),
        param(['WWW-Authenticate: Basic realm="negotiate"'], False, id="in a realm"),
        param(["WWW-Authenticate: NTLM"], True, id="NTLM"),
        param(["WWW-Authenticate: negotiate"], True, id="Negotiate"),
        param(["WWW-Authenticate: NTLM TlRMTVNTUAACAAAA"], True, id="a challenge"),
        param(["WWW-Authenticate: Negotiate, Basic realm=x"], True, id="with another"),
        param(["WWW-Authenticate: Basic realm=x, NTLM"], True, id="after another"),
        param(["WWW-Authenticate: Basic", "WWW-Authenticate: Negotiate"], True, id="on a line"),
        param(["Proxy-Authenticate: NTLM"], False, id="of a proxy"),
    ],
)
def test_responses(lines: list[str], offered: bool) -> None:
    assert is_offered(fields(*lines)) is offered
