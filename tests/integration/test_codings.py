"""Every stored coding for every Accept-Encoding: the octets, the fields, the validators.

The origin answers in one coding whatever it is asked for. Each test walks the whole list of
Accept-Encoding values for one such origin and checks of every answer what must be true of it.
"""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from typing import TYPE_CHECKING, Final

import brotli
import pytest

from tests.support.origin import Conversation, Gate, Origin, Play, head, reply
from tests.support.wire import Cut

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import StartHouse
    from tests.support.house import House
    from tests.support.wire import Head, Response

_WORDS: Final = b"so much of what there is to say has been said before and will be said again"
TEXT: Final = b" ".join(random.Random(7).choices(_WORDS.split(), k=8000))
SMALL: Final = TEXT[:3000]

ENCODE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "deflate": zlib.compress,
    "odd": lambda text: text[::-1],
}
DECODE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
    "deflate": zlib.decompress,
    "odd": lambda octets: octets[::-1],
}
ACCEPTS: Final = (
    None, "identity", "gzip", "br", "zstd", "*", "gzip;q=0", "identity;q=0, br", "deflate",
    "gzip, deflate", "", "br;q=0.5, gzip;q=0.7, zstd;q=0.1", "identity;q=0",
)  # fmt: skip
CODINGS: Final = tuple(ENCODE)
FRESH: Final = "Cache-Control: max-age=600"
OURS: Final = {"coding": {"negotiate": True}}


def lines(coding: str, *more: str) -> tuple[str, ...]:
    said = () if coding == "identity" else (f"Content-Encoding: {coding}",)
    return ("Content-Type: text/plain", 'ETag: "v1"', *said, *more)


def asking(accept: str | None) -> tuple[str, ...]:
    return () if accept is None else (f"Accept-Encoding: {accept}",)


def coding_of(answer: Head) -> str:
    return answer.get("content-encoding") or "identity"


def takes(accept: str | None, coding: str) -> bool:
    """RFC 9110 §12.5.3, in the plainest words; x without a field is not of this test."""
    if accept is None:
        return coding == "identity"
    weights = {}
    for member in accept.split(","):
        name, _, q = member.strip().partition(";q=")
        weights[name] = float(q or 1)
    if coding in weights:
        return weights[coding] > 0
    if "*" in weights:
        return weights["*"] > 0
    return coding == "identity"


class Seen:
    """What has gone out for one URL: no strong tag for two byte sequences."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.octets: dict[str, bytes] = {}

    def check(self, answer: Response, accept: str | None, *, stored: str, fixed: bool) -> None:
        coding, tag = coding_of(answer), answer.get("etag") or ""
        about = f"{stored} for {accept!r}: {answer.status} {answer.lines}"
        assert answer.status == 200, about
        assert DECODE[coding](answer.body) == self.text, about
        if fixed or stored == "odd":
            assert coding == stored, about
            assert tag == '"v1"', about
        else:
            known = [each for each in ("identity", "gzip", "br", "zstd") if takes(accept, each)]
            assert takes(accept, coding) or not known, about
            assert takes(None, coding) or answer.get("vary") == "Accept-Encoding", about
            assert stored == "identity" or answer.get("vary") == "Accept-Encoding", about
        if not tag.startswith("W/"):
            assert self.octets.setdefault(tag, answer.body) == answer.body, about


async def start(start_house: StartHouse, encode: str) -> House:
    return await start_house({"coding": {"encode": encode}})


WAYS = [("always", "small"), ("always", "large"), ("auto", "large")]


@pytest.mark.parametrize(("encode", "size"), WAYS)
@pytest.mark.parametrize("fixed", [False, True], ids=["plain", "no-transform"])
@pytest.mark.parametrize("stored", CODINGS)
async def test_from_the_cache(
    start_house: StartHouse, origin: Origin, stored: str, fixed: bool, encode: str, size: str
) -> None:
    house = await start(start_house, encode)
    text = SMALL if size == "small" else TEXT
    directive = f"{FRESH}, no-transform" if fixed else FRESH
    origin.serve("/a", reply(200, *lines(stored, directive), body=ENCODE[stored](text)))
    seen, url = Seen(text), origin.url("/a")
    await house.get(url, *asking(stored))  # it was asked for in that coding
    for _ in range(3):  # on the fly, kept, from where it is kept
        for accept in ACCEPTS:
            answer = await house.get(url, *asking(accept))
            seen.check(answer, accept, stored=stored, fixed=fixed)
            await check_head(house, url, accept, answer)
            await check_conditions(house, url, accept, answer)
            await check_ranges(house, url, accept, answer, set(seen.octets))
    if not fixed and stored != "odd":
        assert len([r for r in origin.requests if r.method == "GET"]) == 1


async def check_head(house: House, url: str, accept: str | None, got: Response) -> None:
    answer = await house.get(url, *asking(accept), method="HEAD")
    if answer.get("etag") != got.get("etag"):  # another form was kept meanwhile
        got = await house.get(url, *asking(accept))
    about = f"HEAD for {accept!r}: {answer.lines}"
    assert answer.status == got.status, about
    for name in ("etag", "content-encoding", "vary", "content-type", "accept-ranges"):
        assert answer.get(name) == got.get(name), about
    assert answer.get("content-length") in (None, str(len(got.body))), about


async def check_conditions(house: House, url: str, accept: str | None, got: Response) -> None:
    tag = got.get("etag") or ""
    answer = await house.get(url, *asking(accept), f"If-None-Match: {tag}")
    about = f"If-None-Match: {tag} for {accept!r}: {answer.status} {answer.lines}"
    if answer.status == 200:
        # Kept meanwhile, and so another form by now: then it says so.
        assert answer.get("etag") != tag, about
    else:
        assert (answer.status, answer.get("etag"), answer.body) == (304, tag, b""), about


async def check_ranges(
    house: House, url: str, accept: str | None, got: Response, tags: set[str]
) -> None:
    """A download that is resumed gets more of the same, or everything anew."""
    for tag in {got.get("etag") or "", *tags}:
        answer = await house.get(url, *asking(accept), "Range: bytes=5-", f"If-Range: {tag}")
        about = f"If-Range: {tag} for {accept!r}: {answer.status} {answer.lines}"
        if answer.status == 206:
            assert answer.get("etag") == tag == got.get("etag"), about
            assert coding_of(answer) == coding_of(got), about
            assert answer.body == got.body[5:], about
        else:
            assert answer.status == 200, about
            assert coding_of(answer) == coding_of(got) or answer.get("etag") != tag, about


@pytest.mark.parametrize("encode", ["always", "auto"])
@pytest.mark.parametrize("fixed", [False, True], ids=["plain", "no-transform"])
@pytest.mark.parametrize("stored", CODINGS)
async def test_from_a_fill_in_flight(
    start_house: StartHouse, origin: Origin, stored: str, fixed: bool, encode: str
) -> None:
    house = await start(start_house, encode)
    gate, octets = Gate(), ENCODE[stored](TEXT)
    directive = f"{FRESH}, no-transform" if fixed else FRESH
    length = f"Content-Length: {len(octets)}"
    half = len(octets) // 2
    origin.serve(
        "/a", head(200, *lines(stored, directive), length) + octets[:half], gate, octets[half:]
    )
    origin.serve("/a", reply(200, *lines(stored, directive), body=octets))
    url, seen = origin.url("/a"), Seen(TEXT)
    leader = await house.open(url, f"Accept-Encoding: {stored}")
    await leader.head()
    followers = [(accept, await house.open(url, *asking(accept))) for accept in ACCEPTS]
    heads = [await house.open(url, *asking(accept), method="HEAD") for accept in ACCEPTS]
    holding = 'If-None-Match: "v1"'
    holders = [await house.open(url, *asking(accept), holding) for accept in ACCEPTS]
    part = ("Range: bytes=5-", 'If-Range: "v1"')
    parts = [await house.open(url, *asking(accept), *part) for accept in ACCEPTS]
    await house.get("/healthz")  # what they sent has been read
    gate.open()
    seen.check(await leader.whole(), stored, stored=stored, fixed=fixed)
    for n, (accept, follower) in enumerate(followers):
        got = await follower.whole()
        seen.check(got, accept, stored=stored, fixed=fixed)
        others = [await reader.whole() for reader in (heads[n], holders[n], parts[n])]
        if not fixed and stored != "odd":
            check_alike(got, *others)
    if not fixed and stored != "odd":
        assert len(origin.requests) == 1


def check_alike(got: Response, headed: Response, held: Response, part: Response) -> None:
    """What HEAD, a precondition and a range on the origin's own tag are answered beside a GET."""
    about = f"{got.lines}: {headed.lines}; {held.status} {held.lines}; {part.status} {part.lines}"
    for name in ("etag", "content-encoding", "vary"):
        assert headed.get(name) == got.get(name), about
    same = got.get("etag") == '"v1"'
    assert held.status == (304 if same else 200), about
    assert held.get("etag") == got.get("etag"), about
    if part.status == 206:
        assert same, about
        assert part.body == got.body[5:], about
    else:
        assert (part.status, part.get("etag"), part.body) == (200, got.get("etag"), got.body), about


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("fixed", [False, True], ids=["plain", "no-transform"])
@pytest.mark.parametrize("stored", CODINGS)
async def test_on_a_pass_through(
    start_house: StartHouse, origin: Origin, stored: str, fixed: bool, size: str
) -> None:
    house = await start(start_house, "always")
    text = SMALL if size == "small" else TEXT
    directive = "Cache-Control: no-store, no-transform" if fixed else "Cache-Control: no-store"
    origin.serve("/a", answering(ENCODE[stored](text), lines(stored, directive)))
    seen, url = Seen(text), origin.url("/a")
    # What came coded came as it was asked for, or is an object's own coding.
    untouched = fixed or stored != "identity"
    for _ in range(2):
        for accept in ACCEPTS:
            got = await house.get(url, *asking(accept))
            seen.check(got, accept, stored=stored, fixed=untouched)
            await check_head(house, url, accept, got)
            await check_conditions(house, url, accept, got)
            # The origin knows no ranges, so that whoever asks for one gets everything.
            part = await house.get(url, *asking(accept), "Range: bytes=5-")
            assert part.status == 200
            assert DECODE[coding_of(part)](part.body) == text


@pytest.mark.parametrize("stored", CODINGS)
async def test_what_passes_is_as_the_origin_sent_it(
    house: House, origin: Origin, stored: str
) -> None:
    octets, said = ENCODE[stored](TEXT), lines(stored, "Cache-Control: no-store")
    origin.serve("/a", reply(200, *said, "Accept-Ranges: bytes", body=octets))
    for accept in ACCEPTS:
        got = await house.get(origin.url("/a"), *asking(accept))
        assert got.body == octets
        assert coding_of(got) == stored
        assert got.get("content-length") == str(len(octets))
        assert (got.get("etag"), got.get("accept-ranges"), got.get("vary")) == (
            '"v1"', "bytes", None,
        )  # fmt: skip


def answering(octets: bytes, fields: tuple[str, ...]) -> Play:
    """An origin that knows HEAD and If-None-Match."""

    async def play(conversation: Conversation) -> None:
        received = conversation.received
        if received.get("if-none-match") == '"v1"':
            conversation.writer.write(reply(304, *fields))
            return
        length = f"Content-Length: {len(octets)}"
        body = b"" if received.method == "HEAD" else octets
        conversation.writer.write(head(200, *fields, length) + body)

    return play


async def test_each_client_asks_in_its_own_words(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, "Cache-Control: no-store"))
    for accept in ACCEPTS:
        await house.get(origin.url("/a"), *asking(accept))
    assert [r.get("accept-encoding") for r in origin.requests] == list(ACCEPTS)


@pytest.mark.parametrize(
    "changes",
    [{"coding": {"negotiate": True}}, {"rules": [{"match": "http://*/**", "negotiate": True}]}],
    ids=["for all", "a rule"],
)
async def test_origins_can_be_asked_in_our_own_words(
    start_house: StartHouse, origin: Origin, changes: dict[str, object]
) -> None:
    house = await start_house(changes)
    origin.serve("/a", reply(200, "Cache-Control: no-store"))
    for accept in ACCEPTS:
        await house.get(origin.url("/a"), *asking(accept))
    refusing = ("identity", "deflate", "", "gzip;q=0", "identity;q=0")
    expected = [a if a in refusing else "zstd, br;q=0.9, gzip;q=0.8" for a in ACCEPTS]
    assert [r.get("accept-encoding") for r in origin.requests] == expected


@pytest.mark.parametrize(
    ("changes", "line", "method"),
    [
        pytest.param({}, "X: y", "GET", id="the default"),
        pytest.param(OURS, "Cache-Control: no-transform", "GET", id="9111 5.2.1.6 no-transform"),
        pytest.param(OURS, "Cache-Control: no-store", "GET", id="9111 5.2.1.5 no-store"),
        pytest.param(OURS, "Range: bytes=0-1", "GET", id="a range on a miss"),
        pytest.param(OURS, "Authorization: AWS4-HMAC-SHA256 x", "GET", id="a signature"),
        pytest.param(OURS, "Signature-Input: s=()", "GET", id="9421 a signature"),
        pytest.param(OURS, "X-Amz-Date: x", "GET", id="a field that is signed"),
        pytest.param(OURS, "X: y", "DELETE", id="another method"),
        pytest.param(
            {**OURS, "rules": [{"match": "http://*/**", "negotiate": False}]},
            "X: y",
            "GET",
            id="a rule",
        ),
    ],
)
async def test_the_clients_own_words_go_on(
    start_house: StartHouse, origin: Origin, changes: dict[str, object], line: str, method: str
) -> None:
    house = await start_house(changes)
    origin.serve("/a", reply(200, "Cache-Control: no-store"))
    await house.get(origin.url("/a"), "Accept-Encoding: br;q=0.3", line, method=method)
    assert origin.requests[0].get("accept-encoding") == "br;q=0.3"


async def test_another_member_of_vary_still_selects(house: House, origin: Origin) -> None:
    for number in (1, 2):
        origin.serve(
            "/a",
            reply(
                200, FRESH, "Vary: Accept-Encoding, Accept-Language", "Content-Encoding: gzip",
                body=gzip.compress(b"%d" % number),
            ),
        )  # fmt: skip
    url = origin.url("/a")
    for accept in ("gzip", "identity", "br"):
        one = await house.get(url, f"Accept-Encoding: {accept}", "Accept-Language: de")
        two = await house.get(url, f"Accept-Encoding: {accept}", "Accept-Language: fr")
        assert DECODE[coding_of(one)](one.body) == b"1"
        assert DECODE[coding_of(two)](two.body) == b"2"
    assert len(origin.requests) == 2


async def test_a_marked_tag_reaches_the_origin_as_its_own(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *lines("gzip", FRESH), body=gzip.compress(SMALL)))
    origin.serve("/a", reply(204))
    url = origin.url("/a")
    await house.get(url, "Accept-Encoding: gzip")
    tag = (await house.get(url)).get("etag")
    assert tag not in (None, '"v1"')
    await house.get(url, f"If-Match: {tag}", method="PUT", body=b"x")
    assert origin.requests[1].get("if-match") == '"v1"'


BROKEN: Final = {
    "gzip": gzip.compress(TEXT)[:-20],
    "br": brotli.compress(TEXT)[:-20],
    "zstd": zstd.compress(TEXT)[:-20],
    "deflate": zlib.compress(TEXT)[:-20],
    "gzip twice, the second cut": gzip.compress(TEXT) + gzip.compress(SMALL)[:-5],
    "not gzip at all": TEXT,
}


@pytest.mark.parametrize("name", list(BROKEN))
async def test_a_broken_body_is_passed_on_and_never_stored(
    house: House, origin: Origin, name: str
) -> None:
    coding = name if name in ENCODE else "gzip"
    origin.serve("/a", reply(200, *lines(coding, FRESH), body=BROKEN[name]))
    for _ in range(2):
        answer = await house.get(origin.url("/a"), f"Accept-Encoding: {coding}")
        assert (answer.status, coding_of(answer)) == (200, coding)
        assert answer.body == BROKEN[name]
        assert answer.get("content-length") == str(len(BROKEN[name]))
        await house.running.door.exchange.settled(origin.url("/a"))
    assert len(origin.requests) == 2


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_cut_anywhere_it_is_never_stored(house: House, origin: Origin, coding: str) -> None:
    octets = ENCODE[coding](SMALL)
    for cut in range(1, len(octets), max(1, len(octets) // 40)):
        path = f"/{cut}"
        origin.serve(path, reply(200, *lines(coding, FRESH), body=octets[:cut]))
        for _ in range(2):
            answer = await house.get(origin.url(path), f"Accept-Encoding: {coding}")
            assert answer.body == octets[:cut]
            await house.running.door.exchange.settled(origin.url(path))
        assert origin.count(path) == 2, f"cut at {cut}, it was stored"


@pytest.mark.parametrize("accept", ["br", "identity"])
@pytest.mark.parametrize("name", ["not gzip at all", "cut"])
async def test_who_cannot_be_helped_asks_in_its_own_words(
    house: House, origin: Origin, name: str, accept: str
) -> None:
    """It reads along with others, and what they get turns out not to be gzip."""
    gate, url = Gate(), origin.url("/a")
    octets = TEXT if name == "not gzip at all" else gzip.compress(SMALL)[:-4]
    length = f"Content-Length: {len(octets)}"
    origin.serve("/a", head(200, *lines("gzip", FRESH), length), gate, octets)
    origin.serve("/a", reply(200, *lines("identity", FRESH), body=b"plain"))
    leader = await house.open(url, "Accept-Encoding: gzip")
    await leader.head()
    follower = await house.open(url, f"Accept-Encoding: {accept}")
    await house.get("/healthz")
    gate.open()
    assert (await leader.whole()).body == octets
    if name == "cut":  # which shows at the end alone
        with pytest.raises((ConnectionError, Cut)):
            await follower.whole()
        return
    answer = await follower.whole()
    assert (answer.status, answer.body) == (200, b"plain")
    assert origin.requests[1].get("accept-encoding") == accept


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_a_small_body_that_swells_is_whole(house: House, origin: Origin, coding: str) -> None:
    text = bytes(3 * 2**20)
    octets = ENCODE[coding](text)
    origin.serve("/a", reply(200, *lines(coding, FRESH), body=octets))
    await house.get(origin.url("/a"), f"Accept-Encoding: {coding}")
    for _ in range(4):
        assert (await house.get(origin.url("/a"), "Accept-Encoding: identity")).body == text
        assert (await house.get(origin.url("/a"), f"Accept-Encoding: {coding}")).body == octets
    assert len(origin.requests) == 1


@pytest.mark.parametrize("limit", [{"max_ratio": 50}, {"max_decoded": "9MiB"}])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_what_swells_beyond_a_limit_is_passed_on(
    start_house: StartHouse, origin: Origin, coding: str, limit: dict[str, object]
) -> None:
    house = await start_house({"coding": limit})
    octets = ENCODE[coding](bytes(20 * 2**20))
    origin.serve("/a", reply(200, *lines(coding, FRESH), body=octets))
    for accept in (coding, "identity"):
        assert (await house.get(origin.url("/a"), *asking(accept))).body == octets
    assert [r.get("accept-encoding") for r in origin.requests] == [coding, "identity"]


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "gzip": lambda: gzip.compress(bytes(64 * 2**20)),
    "deflate": lambda: zlib.compress(bytes(64 * 2**20)),
    "br": lambda: brotli.compress(bytes(64 * 2**20), quality=3),
    "zstd": lambda: zstd.compress(bytes(64 * 2**20)),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(bytes(64 * 2**20))),
    "zstd, gzip": lambda: gzip.compress(zstd.compress(b"") * 10**6),
}


@pytest.mark.parametrize("coding", BOMBS)
async def test_a_bomb_is_passed_on_and_not_stored(
    house: House, origin: Origin, coding: str
) -> None:
    octets, keeping = BOMBS[coding](), house.running.door.exchange.keeping
    origin.serve("/a", reply(200, *lines(coding, FRESH), body=octets))
    for number, accept in enumerate((coding, "identity"), 1):
        assert (await house.get(origin.url("/a"), *asking(accept))).body == octets
        assert [r.get("accept-encoding") for r in origin.requests][-1] == accept
        await house.running.door.exchange.settled(origin.url("/a"))
        assert (len(origin.requests), keeping.ended["too-costly"]) == (number, 1)


async def test_a_window_that_no_decoder_has_to_have(house: House, origin: Origin) -> None:
    frame: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    stream = zstd.ZstdCompressor(options=frame)
    octets = stream.compress(TEXT) + stream.flush()
    origin.serve("/a", reply(200, *lines("zstd", FRESH), body=octets))
    for accept in ("zstd", "identity"):
        assert (await house.get(origin.url("/a"), *asking(accept))).body == octets
    await house.running.door.exchange.settled(origin.url("/a"))
    assert house.running.door.exchange.keeping.ended["too-costly"] >= 1


async def test_three_codings_are_left_alone(house: House, origin: Origin) -> None:
    """They are stored as they came, for who asks in the same words."""
    octets, coding = gzip.compress(gzip.compress(gzip.compress(TEXT))), "gzip, gzip, gzip"
    origin.serve("/a", reply(200, *lines(coding, FRESH), body=octets))
    for accept, hit in (("gzip", False), ("gzip", True), ("identity", False), ("identity", True)):
        answer = await house.get(origin.url("/a"), *asking(accept))
        assert (answer.body, answer.hit) == (octets, hit)
        assert answer.get("content-encoding") == coding
        await house.running.door.exchange.settled(origin.url("/a"))
    assert len(origin.requests) == 2
    assert house.running.door.exchange.shop.counts.seconds == 0.0


async def test_a_body_of_nothing_is_whole(house: House, origin: Origin) -> None:
    origin.serve("/a", reply(200, *lines("gzip", FRESH)))
    for accept in ACCEPTS:
        answer = await house.get(origin.url("/a"), *asking(accept))
        assert (answer.status, answer.body) == (200, b"")


async def test_all_of_it_by_a_range_is_no_part_once_it_is_encoded(
    start_house: StartHouse, origin: Origin
) -> None:
    house, size = await start(start_house, "always"), len(TEXT)
    said = ("Cache-Control: max-age=600", "Content-Type: text/plain", 'ETag: "1"')
    origin.serve("/a", reply(206, *said, f"Content-Range: bytes 0-{size - 1}/{size}", body=TEXT))
    for _ in range(2):
        got = await house.get(origin.url("/a"), "Accept-Encoding: gzip", "Range: bytes=0-")
        assert (got.status, got.get("content-range")) == (200, None)
        assert gzip.decompress(got.body) == TEXT
    assert len(origin.requests) == 1
