"""What is stored, asked for again, is what the origin would have said.

Rows of the test ``test_same_as_direct``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.origin import head
from tests.support.resources import (
    FRESH,
    MODIFIED,
    NOW,
    PLAIN,
    TEXT,
    Echo,
    Resource,
    Written,
    live,
    plain,
)
from tests.support.rows import (
    ALL,
    CODED_FIRST,
    GZIP,
    HELD,
    IDENTITY,
    PLAIN_FIRST,
    SINCE,
    Row,
    everything,
    get,
    gets,
    put,
)

if TYPE_CHECKING:
    from tests.support.asking import Ask
    from tests.support.origin import Conversation
    from tests.support.sides import Sides


OCTETS: Final = "Content-Type: application/octet-stream"
BASIC: Final = "Authorization: Basic YTpi"


def polls(*fields: str) -> tuple[Ask, ...]:
    """One program that keeps asking whether there is something new."""
    since = get(*fields, SINCE)
    return (get(*fields), *(get(*fields, HELD) for _ in range(4)), since, since)


REUSE: Final = [
    *(
        row
        for name, control in {
            "private": "private",
            "private, max-age": "private, max-age=60",
            "no-cache": "no-cache",
            "no-store": "no-store",
            "max-age=0": "max-age=0",
            "must-revalidate": "max-age=0, must-revalidate",
            "fresh": "max-age=600",
        }.items()
        for accept in ("identity", "gzip")
        for row in gets(
            f"polls of {name}, {accept}",
            Resource((f"Cache-Control: {control}", PLAIN)),
            *polls(f"Accept-Encoding: {accept}"),
        )
    ),
    *gets(
        "polls with Authorization",
        Resource(("Cache-Control: max-age=0", PLAIN)),
        *polls(BASIC),
        *polls(BASIC, ALL),
    ),
    *gets("polls of the fresh with Authorization", Resource(), *polls(BASIC), *polls(BASIC, ALL)),
    Row(
        "polls of what is too large",
        Resource(("Cache-Control: max-age=0", PLAIN), text=TEXT * 20, coding="identity"),
        polls(),
        config={"cache": {"max_object_size": "16KiB"}},
    ),
    Row(
        "too large to store",
        Resource(text=TEXT * 20, coding="identity"),
        (*everything(), *everything(ALL)),
        config={"cache": {"max_object_size": "16KiB"}},
    ),
    *gets("polls of a cookie", Resource(("Set-Cookie: a=1", "Cache-Control: max-age=0")), *polls()),
    *gets(
        "polls by a tag that changed elsewhere",
        Resource(),
        get('If-None-Match: "old"'),
        get('If-None-Match: "old"'),
        get("If-None-Match: *"),
    ),
    *gets(
        "If-Match is the origin's to judge",
        Resource(coding="identity"),
        get(),
        get("If-Match: {etag}"),
        get('If-Match: "other"'),
        get('If-Match: W/"v1"'),
        get("If-Match: *"),
    ),
    *gets(
        "If-Match that the origin does not know",
        plain(FRESH, 'ETag: "v1"'),
        get(),
        get('If-Match: "other"'),
    ),
    *gets(
        "If-Unmodified-Since that the origin does not know",
        plain(FRESH, f"Last-Modified: {MODIFIED}"),
        get(),
        get("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"),
    ),
    *gets(
        "If-Range with another tag",
        Resource(coding="identity"),
        get(),
        get("Range: bytes=5-9", 'If-Range: "other"'),
        get("Range: bytes=5-9", "If-Range: {etag}"),
    ),
    *gets(
        "If-Range with a date",
        Resource(coding="identity"),
        get(),
        get("Range: bytes=5-9", f"If-Range: {MODIFIED}"),
        get("Range: bytes=5-9", "If-Range: Thu, 01 Jan 1970 00:00:00 GMT"),
    ),
    *gets(
        "parts before the whole",
        Resource(coding="identity"),
        get("Range: bytes=5-9"),
        get("Range: bytes=10-19"),
        get("Range: bytes=0-"),
        get(),
    ),
    *gets(
        "everything by a range",
        Resource(coding="identity"),
        get("Range: bytes=0-99999"),
        get("Range: bytes=0-99999"),
        get("Range: bytes=0-"),
        get(ALL, "Range: bytes=0-99999"),
        get(),
        get("Range: bytes=0-99999"),
    ),
    *gets("everything by a range, coded", Resource(), get(ALL, "Range: bytes=0-"), get(ALL), get()),
    *(
        row
        for wish in ("Cache-Control: no-cache", "Cache-Control: max-age=0", "X-Own: 1")
        for row in gets(
            f"conditions with {wish}",
            Resource(coding="identity"),
            get(wish, "If-None-Match: *"),
            get(),
            get(wish, 'If-Match: "other"'),
            get(wish, 'If-Match: "other"', method="HEAD"),
            get(wish, "If-None-Match: *"),
            get(wish, "If-None-Match: *", method="HEAD"),
            get(wish, HELD, "If-Match: {etag}"),
            get(wish, SINCE, method="HEAD"),
        )
    ),
    *(
        row
        for framing in ("length", "chunked", "close")
        for minor in (0, 1)
        for row in gets(
            f"a part of what is stale, {framing}, HTTP/1.{minor}",
            Resource(("Cache-Control: max-age=0", PLAIN), framing=framing, minor=minor),
            get(),
            get(GZIP, "Range: bytes=3-9"),
            get(IDENTITY, "Range: bytes=3-9"),
        )
    ),
    *(
        row
        for control in ("no-cache", "max-age=600")
        for row in gets(
            f"a weak tag of all forms of an object, {control}",
            Resource((f"Cache-Control: {control}", OCTETS), tag="W/v1", ranges=False),
            get("Accept-Encoding:"),
            get(ALL),
            get("Accept-Encoding:", "Cache-Control: no-cache"),
            get("Accept-Encoding:"),
            get(ALL, "Cache-Control: no-cache"),
            get("Accept-Encoding:", "Cache-Control: no-cache"),
            get(ALL, f"If-Unmodified-Since: {MODIFIED}"),
            get("Accept-Encoding:", "Cache-Control: no-cache"),
            get("Accept-Encoding:"),
        )
    ),
    *gets(
        "a part after a write",
        Resource(coding="identity", label="gzip"),
        get(GZIP),
        put(method="POST"),
        get(IDENTITY, "Range: bytes=0-0"),
        get("Range: bytes=0-0"),
    ),
    *gets(
        "parts of what is coded",
        Resource(),
        get(ALL, "Range: bytes=5-9"),
        get("Range: bytes=5-9"),
        get(ALL, "Range: bytes=10-"),
        get("Range: bytes=10-"),
        get(),
        get(ALL),
    ),
    *gets(
        "several parts", Resource(coding="identity", ranges=False), get("Range: bytes=5-9"), get()
    ),
    *gets(
        "no-cache of the client",
        Written(lambda _: Counting()),
        get("Cache-Control: no-cache"),
        get("Cache-Control: no-cache"),
        get("Pragma: no-cache"),
        get("Cache-Control: max-age=0"),
    ),
    *gets(
        "an error after a stored one",
        Written(lambda _: Failing(404, 500)),
        get(),
        get("Cache-Control: no-cache"),
    ),
    *gets(
        "max-age=0 sees the error",
        Written(lambda _: Failing(200, 500)),
        get(),
        get("Cache-Control: max-age=0"),
    ),
    *gets(
        "no-cache sees the error",
        Written(lambda _: Failing(200, 500)),
        get(),
        get("Cache-Control: no-cache"),
    ),
    *gets(
        "must-revalidate sees the error",
        Written(lambda _: Failing(200, 503, "max-age=0, must-revalidate")),
        get(),
        get(),
    ),
]


class Counting:
    """Each answer is another, and fresh."""

    def __init__(self) -> None:
        self._answers = 0

    async def __call__(self, conversation: Conversation) -> None:
        self._answers += 1
        fields = (NOW, FRESH, f'ETag: "{self._answers}"', "Content-Length: 1")
        conversation.writer.write(head(200, *fields) + b"%d" % self._answers)


class Failing:
    """One answer with the first status, all others with the second."""

    def __init__(self, first: int, then: int, control: str = "max-age=600") -> None:
        self._statuses = [then, first]
        self._control = control

    async def __call__(self, conversation: Conversation) -> None:
        status = self._statuses.pop() if len(self._statuses) > 1 else self._statuses[0]
        body = b"%d" % status
        fields = (NOW, f"Cache-Control: {self._control}", "Content-Length: 3")
        conversation.writer.write(head(status, *fields) + body)


TUNNELLED: Final = [
    *gets("in CONNECT: compresses", Resource(), *CODED_FIRST),
    *gets("in CONNECT: never compresses", Resource(coding="identity"), *PLAIN_FIRST),
    *gets(
        "in CONNECT: Host of another name",
        Echo((FRESH,)),
        get("Host: other.test"),
        get("Host: other.test"),
    ),
    *gets("in CONNECT: a feed", live("gzip", PLAIN), get(ALL), get()),
    *gets("in CONNECT: HTTP/1.0", Resource(), get(minor=0), get(minor=0)),
    *gets("in CONNECT: POST", Echo(), put(method="POST"), put(method="POST")),
]


@pytest.mark.parametrize(
    "row", [*REUSE, *(replace(row, tunnel=True) for row in TUNNELLED)], ids=str
)
def test_same_as_direct(sides: Sides, row: Row) -> None:
    sides.check(row)
