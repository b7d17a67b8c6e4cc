"""What a request head says is remembered from the second time on, by its exact octets."""

import pytest

from proxy.access.rules import AccessOptions, Rules
from proxy.frontend import heard
from proxy.frontend.heard import Heard, Hearing
from proxy.semantics.targets import Origin
from proxy.wire.heads import BadMessage, Limits

INSIDE = Origin("http", "a.example", 80)


def head(path: str = "/x", *lines: str) -> bytes:
    return "\r\n".join(
        [f"GET http://a.example{path} HTTP/1.1", "Host: a.example", *lines, "", ""]
    ).encode()


@pytest.fixture
def hearing() -> Hearing:
    return Hearing(Limits(), Rules(AccessOptions()))


def hear(hearing: Hearing, raw: bytes) -> Heard:
    return hearing.hear(raw, None, b"")


def test_what_comes_again_is_the_very_same(hearing: Hearing) -> None:
    first, second, third = (hear(hearing, head()) for _ in range(3))
    assert first == second
    assert first is not second
    assert third is second


def test_nothing_needs_to_be_remembered_of_what_is_for_once(hearing: Hearing) -> None:
    first, second = (hear(hearing, head()).reception for _ in range(2))
    long = hear(hearing, head("/x", "X: " + "v" * heard.HEAD)).reception
    marks = [getattr(each.request, "_once", False) for each in (first, second, long)]  # type: ignore[union-attr]
    assert marks == [True, False, True]


def test_one_octet_makes_another(hearing: Hearing) -> None:
    one = [hear(hearing, head()) for _ in range(3)]
    other = [hear(hearing, head("/x", "Accept: */*")) for _ in range(3)]
    assert one[2].head.fields != other[2].head.fields


def test_the_connect_that_it_came_through_is_part_of_it(hearing: Hearing) -> None:
    raw = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
    outside = [hearing.hear(raw, None, b"") for _ in range(3)]
    inside = [hearing.hear(raw, INSIDE, b"http://a.example\n") for _ in range(3)]
    assert outside[2].reception != inside[2].reception


def test_what_it_came_through_cannot_be_said_by_the_head_itself(hearing: Hearing) -> None:
    raw = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
    for _ in range(3):
        hearing.hear(raw, INSIDE, b"http://a.example\n")
    with pytest.raises(BadMessage):
        hearing.hear(b"http://a.example\n" + raw, None, b"")


def test_heads_that_never_come_again_push_none_out(hearing: Hearing) -> None:
    hear(hearing, head())
    known = hear(hearing, head())
    for number in range(heard.SEEN + heard.ENTRIES):
        hear(hearing, head(f"/{number}"))
    assert hear(hearing, head()) is known


def test_the_oldest_is_forgotten_for_the_latest(hearing: Hearing) -> None:
    hear(hearing, head())
    known = hear(hearing, head())
    for number in range(heard.ENTRIES):
        for _ in range(2):
            hear(hearing, head(f"/{number}"))
    assert hear(hearing, head()) is not known


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head("/x", "X: " + "v" * heard.HEAD), id="long"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", id="for the proxy itself"),
    ],
)
def test_not_worth_it(hearing: Hearing, raw: bytes) -> None:
    answers = [hear(hearing, raw) for _ in range(4)]
    assert len({id(answer) for answer in answers}) == 4


def test_what_cannot_be_read_is_refused_each_time(hearing: Hearing) -> None:
    for _ in range(3):
        with pytest.raises(BadMessage):
            hear(hearing, b"GET http://a.example/ HTTP/1.1\r\n\r\n")
