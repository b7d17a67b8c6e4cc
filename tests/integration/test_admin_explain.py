"""What the admin endpoint says would happen, beside what happens."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.origin import Origin, reply
from tests.support.wire import request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartAdmin
    from tests.support.admin import Admin
    from tests.support.house import Config

param = pytest.param

FRESH: Final = "Cache-Control: max-age=600"
TEXT: Final = b" ".join(b"%d" % (number * 7919) for number in range(2000))
BAD: Final = {"access": {"deny_destinations": ["bad.example"]}}
PARENT: Final = {"upstream": {"parent": "http://127.0.0.1:9"}, **BAD}
AUTO: Final = {"coding": {"encode": "always"}}


def named(said: Any, name: str) -> dict[str, str]:
    """The last clause of that name."""
    found: list[dict[str, str]] = [each for each in said["clauses"] if each["name"] == name]
    return found[-1]


async def stored(admin: Admin, url: str, *lines: str) -> None:
    """Ask for it, and wait until it is stored."""
    await admin.house.get(url, *lines)
    await admin.get("/api/entry", url=url)


@pytest.mark.parametrize(
    ("path", "query", "decision", "reason"),
    [
        param("/a", {}, "serve", "hit", id="a hit"),
        param(
            "/a", {"header": "Cache-Control: no-cache"}, "revalidate", "request-no-cache",
            id="a header",
        ),
        param("/a", {"method": "post"}, "forward", "method", id="a method"),
        param("/b", {}, "forward", "miss", id="a miss"),
        param(
            "/b", {"header": "Cache-Control: only-if-cached"}, "refuse", "only-if-cached",
            id="a refusal",
        ),
    ],
)  # fmt: skip
async def test_what_is_decided(
    admin: Admin, origin: Origin, path: str, query: dict[str, str], decision: str, reason: str
) -> None:
    origin.serve("/a", reply(200, FRESH, 'ETag: "1"', body=b"hello"))
    await stored(admin, origin.url("/a"))
    said = await admin.get("/api/explain", url=origin.url(path), **query)
    assert (said["decision"], said["reason"]) == (decision, reason)
    assert ("invalidation" in {clause["name"] for clause in said["clauses"]}) is ("method" in query)


@pytest.mark.parametrize("header", ["nonsense", "X: a\r\nY: b"])
async def test_a_header_that_is_none(admin: Admin, origin: Origin, header: str) -> None:
    await admin.get("/api/explain", 400, url=origin.url("/a"), header=header)


async def test_why_the_last_response_was_not_stored(admin: Admin, origin: Origin) -> None:
    origin.serve("/b", reply(200, "Cache-Control: private", body=b"hello"))
    origin.serve("/b", reply(200, body=b"done"))
    assert "last" not in await admin.get("/api/explain", url=origin.url("/b"))
    await admin.house.get(origin.url("/b"))
    await admin.house.get(origin.url("/b"), method="POST", body=b"x")
    await admin.counted(2)
    said = await admin.get("/api/explain", url=origin.url("/b").replace("http", "HTTP"))
    assert (said["reason"], said["last"]["reason"]) == ("miss", "not-stored-private")


@pytest.mark.parametrize(
    ("changes", "url", "verdict", "text", "reason"),
    [
        param({}, "http://127.0.0.1:9999", "yes", "may connect to 127.0.0.1.", "", id="an address"),
        param({}, "http://127.0.0.1:25/", "no", "http_ports = [", "denied-port", id="a port"),
        param({}, "http://new.example/", "info", "once they are known", "", id="not resolved yet"),
        param(PARENT, "http://new.example/", "yes", "The parent proxy connects", "", id="a parent"),
        param(
            {}, "http://10.0.0.1/", "no", "the built-in rule for private addresses",
            "denied-destination", id="built in",
        ),
        param(
            BAD, "http://bad.example/", "no", "bad.example is denied by the entry 'bad.example'",
            "denied-destination", id="a name, not resolved",
        ),
        param(
            PARENT, "http://bad.example/", "no", "bad.example is denied", "denied-destination",
            id="a name, for a parent",
        ),
        param({}, "http://127.0.0.1:{port}/", "no", "this proxy itself", "loop", id="ourselves"),
    ],
)  # fmt: skip
async def test_access(
    start_admin: StartAdmin, changes: Config, url: str, verdict: str, text: str, reason: str
) -> None:
    admin = await start_admin(changes)
    url = url.format(port=admin.house.port)
    said = await admin.get("/api/explain", url=url)
    clause = said["clauses"][0]
    assert (clause["name"], clause["verdict"]) == ("access", verdict)
    assert text in clause["text"]
    expected = ("refuse", reason) if reason else ("forward", "miss")
    assert (said["decision"], said["reason"]) == expected
    names = {each["name"] for each in said["clauses"]}
    assert names.isdisjoint({"asked", "codings", "failure"}) is bool(reason)
    if reason:
        assert said["sentence"] == clause["text"]
        if changes is BAD:
            return  # whether that name resolves is not for this test to ask
        answer = await admin.house.get(url)
        assert answer.proxy_status["details"] == reason
        assert clause["text"] in answer.body.decode()


async def test_a_name_that_was_resolved_is_judged(admin: Admin, origin: Origin) -> None:
    url = f"http://localhost:{origin.port}/"
    await admin.house.get(url)
    clause = named(await admin.get("/api/explain", url=url), "access")
    assert clause["verdict"] == "yes"
    assert "localhost (" in clause["text"]


@pytest.mark.parametrize(
    ("control", "decision", "reason", "verdict"),
    [
        param(FRESH, "serve", "hit", "info", id="fresh: the origin is not asked"),
        param(
            "Cache-Control: max-age=0, stale-if-error=600", "refuse", "denied-destination", "no",
            id="stale: that access refuses is not the origin's failure",
        ),
    ],
)  # fmt: skip
async def test_what_is_stored_of_a_name_whose_address_is_denied_since(
    start_admin: StartAdmin,
    origin: Origin,
    tmp_path: Path,
    control: str,
    decision: str,
    reason: str,
    verdict: str,
) -> None:
    origin.serve("/a", reply(200, control, 'ETag: "1"', body=b"hello"))
    folder = {"cache": {"dir": str(tmp_path / "shared")}}
    url = f"http://localhost:{origin.port}/a"
    await stored(await start_admin(folder), url)
    admin = await start_admin({**folder, "access": {"allow_destinations": []}})
    await admin.house.get(url, "Cache-Control: no-cache")  # from here on its address is known
    said = await admin.get("/api/explain", url=url)
    assert (said["decision"], said["reason"]) == (decision, reason)
    clause = named(said, "access")
    assert clause["verdict"] == verdict
    assert "built-in rule for loopback" in clause["text"]
    answer = await admin.house.get(url)
    assert answer.body == b"hello" if decision == "serve" else answer.status == 403
    assert answer.hit is (reason == "hit")


@pytest.mark.parametrize(
    ("url", "decision", "reason", "status"),
    [
        param("https://127.0.0.1:{origin}/x", "tunnel", "tunnel", 200, id="by URL"),
        param("127.0.0.1:{origin}", "tunnel", "tunnel", 200, id="by authority"),
        param("new.example:443", "tunnel", "tunnel", 0, id="not resolved yet"),
        param("127.0.0.1:22", "refuse", "denied-port", 403, id="a port"),
        param("10.0.0.1:443", "refuse", "denied-destination", 403, id="an address"),
        param("bad.example:443", "refuse", "denied-destination", 0, id="a name"),
    ],
)
async def test_connect(
    start_admin: StartAdmin, origin: Origin, url: str, decision: str, reason: str, status: int
) -> None:
    admin = await start_admin(BAD)
    url = url.format(origin=origin.port)
    said = await admin.get("/api/explain", url=url, method="CONNECT")
    assert (said["decision"], said["reason"]) == (decision, reason)
    assert said["sentence"] == said["clauses"][-1]["text"]
    if status:
        wire = await admin.house.wire()
        await wire.send(request("CONNECT", url.removeprefix("https://").removesuffix("/x")))
        assert (await wire.head()).status == status


@pytest.mark.parametrize("url", ["nonsense", "a.example:x", "ftp://a.example/"])
async def test_a_connect_to_nowhere(admin: Admin, url: str) -> None:
    await admin.get("/api/explain", 400, url=url, method="CONNECT")


GZIP: Final = ("Content-Encoding: gzip", "Content-Type: text/plain", FRESH, 'ETag: "1"')
OWN: Final = (*GZIP, "Content-MD5: x")
PLAIN: Final = ("Content-Type: text/plain", FRESH)
PART: Final = ("Content-Range: bytes 0-9/100", FRESH, 'ETag: "1"')
RANGE: Final = "Range: bytes=0-9"


@pytest.mark.parametrize(
    ("changes", "lines", "asked", "text"),
    [
        param(
            {}, GZIP, ["Accept-Encoding: gzip, br"],
            "The client takes br, gzip, identity. What is stored is in gzip; it would be sent as"
            " it is.",
            id="as it is",
        ),
        param(
            {}, GZIP, [],
            "The client does not say which codings it takes. What is stored is in gzip; it would"
            " be sent decoded.",
            id="decoded",
        ),
        param(
            {}, GZIP, ["Accept-Encoding: identity", RANGE],
            "The client takes identity. What is stored is in gzip; it would be sent decoded.",
            id="a range of what is decoded",
        ),
        param(
            AUTO, GZIP, ["Accept-Encoding: br", RANGE],
            "The client takes br, identity. What is stored is in gzip; it would be sent decoded and"
            " encoded in br, and all of it, as the range is not one of these octets.",
            id="encoded, and so whole",
        ),
        param(
            {}, OWN, ["Accept-Encoding: identity"],
            "The client takes identity. What is stored is in gzip, which is the object's own and"
            " stays for everybody; it would be sent as it is.",
            id="an object's own coding",
        ),
        param(
            AUTO, GZIP, ["Accept-Encoding: br"],
            "The client takes br, identity. What is stored is in gzip; it would be sent decoded and"
            " encoded in br.",
            id="decoded and encoded",
        ),
        param(
            AUTO, PLAIN, ["Accept-Encoding: zstd, identity;q=0"],
            "The client takes zstd. What is stored is in no coding; it would be sent encoded in"
            " zstd.",
            id="encoded",
        ),
        param(
            {}, ("Content-Encoding: x-odd", FRESH), ["Accept-Encoding: gzip"],
            "The client takes gzip, identity. What is stored is in x-odd, which is the object's"
            " own and stays for everybody; it would be sent as it is.",
            id="an unknown coding",
        ),
        param(
            {}, PLAIN, ["Accept-Encoding: odd, identity;q=0"],
            "The client takes no coding that is known. What is stored is in no coding; it would be"
            " sent as it is.",
            id="a client that takes nothing",
        ),
        param(
            {}, GZIP, ["Accept-Encoding: br", "Cache-Control: no-transform"],
            "The client takes br, identity. What is stored is in gzip, and these very octets or"
            " none (a signature or no-transform): the origin is asked in the client's words.",
            id="what must not be changed",
        ),
        param(
            {"coding": {"negotiate": True}}, ("X: y",), ["Accept-Encoding: gzip"],
            "The origin is asked for zstd, br;q=0.9, gzip;q=0.8, in the proxy's own words"
            " (negotiate = true): each client gets what comes of that in a coding that it takes.",
            id="nothing stored: our words",
        ),
        param(
            {}, ("Cache-Control: no-store",),
            ["Accept-Encoding: gzip"], "The origin is asked for gzip, as the client says.",
            id="nothing stored: the client's words",
        ),
        param(
            {}, PART, ["Range: bytes=5-19"],
            "The origin is asked without Accept-Encoding, as the client says.",
            id="3.4 a part: the client's silence",
        ),
    ],
)  # fmt: skip
async def test_codings(
    start_admin: StartAdmin,
    origin: Origin,
    changes: Config,
    lines: tuple[str, ...],
    asked: list[str],
    text: str,
) -> None:
    admin, url = await start_admin(changes), origin.url("/a")
    body = gzip.compress(TEXT) if GZIP[0] in lines else TEXT
    if lines is PART:
        origin.serve("/a", reply(206, *lines, body=TEXT[:10]))
    for _ in range(2):
        origin.serve("/a", reply(200, *lines, body=body))
    await admin.house.get(url, RANGE if lines is PART else "Accept-Encoding: gzip")
    await admin.house.running.door.exchange.settled(url)
    said = await admin.get("/api/explain", url=url, header=asked)
    assert named(said, "codings")["text"] == text
    answer = await admin.house.get(url, *asked)
    assert answer.hit is (said["decision"] == "serve")
    coding = next((word for word in ("br", "zstd", "x-odd") if f"in {word}" in text), None)
    if said["decision"] == "serve":
        as_it_is = GZIP[0] in lines and text.endswith("it would be sent as it is.")
        sent = "gzip" if as_it_is else coding
        assert answer.get("content-encoding") == sent
    if "these very octets" in text:
        assert named(said, "codings")["verdict"] == "no"
        assert (said["decision"], said["reason"]) == ("forward", "vary-miss")
        assert answer.cache_status["fwd"] == "vary-miss"
        assert "what the client asks" in named(said, "asked")["text"]


async def test_a_form_that_is_kept(admin: Admin, origin: Origin) -> None:
    origin.serve("/a", reply(200, *GZIP, body=gzip.compress(TEXT)))
    url = origin.url("/a")
    for accept in ("gzip", "identity", "identity", "identity"):
        await admin.house.get(url, f"Accept-Encoding: {accept}")
        await admin.get("/api/entry", url=url)
    said = await admin.get("/api/explain", url=url)
    assert named(said, "codings")["text"].endswith("in the form that is kept beside it, identity.")


async def test_a_rule_by_its_line(start_admin: StartAdmin, origin: Origin) -> None:
    rules = [{"match": "http://b.example/**"}, {"match": "http://*/**", "cache": False}]
    admin = await start_admin({"rules": rules})
    clause = named(await admin.get("/api/explain", url=origin.url("/a")), "rule")
    file = admin.house.running.settings.file
    assert file is not None
    text = file.read_text()
    line = text[: text.rindex("[[rules]]")].count("\n") + 1
    assert clause["section"] == f"[[rules]] 2, config.toml:{line}"
