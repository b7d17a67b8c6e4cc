"""What a state-changing request makes invalid (RFC 9111 §4.4)."""

import pytest

from proxy.policy import invalidation
from tests.support.build import req, resp, uri
from tests.support.stored import OPTIONS

param = pytest.param

GROUPS = 'Cache-Group-Invalidation: "g"'
NAMING = {"location", "content-location", "cache-group-invalidation"}
OWN = "http://a.example/d/x"


@pytest.mark.parametrize(
    ("method", "status", "lines", "invalid"),
    [
        param("POST", 200, [], [OWN], id="4.4 the target URI"),
        param("PUT", 204, [], [OWN], id="PUT"),
        param("DELETE", 303, [], [OWN], id="a redirect is no error"),
        param("M-SEARCH", 200, [], [OWN], id="4.4 a method that is not known is not safe"),
        param("POST", 404, [], [], id="4.4 not after 4xx"),
        param("POST", 500, [], [], id="4.4 not after 5xx"),
        param("GET", 200, ["Location: /y"], [], id="4.4 not after a safe method"),
        param("PROPFIND", 207, [], [], id="safe by another document"),
        param("POST", 201, ["Location: /y"], [OWN, "http://a.example/y"], id="Location"),
        param("POST", 200, ["Content-Location: y"], [OWN, "http://a.example/d/y"],
              id="Content-Location, relative"),
        param("POST", 200, ["Location: y", "Content-Location: y#z"],
              [OWN, "http://a.example/d/y"], id="each once, fragments do not count"),
        param("POST", 200, ["Location: http://A.example:80/y"], [OWN, "http://a.example/y"],
              id="same origin, spelled otherwise"),
        param("POST", 200, ["Location: http://b.example/y"], [OWN], id="4.4 another host"),
        param("POST", 200, ["Location: https://a.example/y"], [OWN], id="4.4 another scheme"),
        param("POST", 200, ["Location: http://a.example:81/y"], [OWN], id="4.4 another port"),
        param("POST", 200, ["Location: ftp://a.example/y"], [OWN], id="foreign scheme"),
        param("POST", 200, ["Location: http://[x/y"], [OWN], id="no URI"),
        param("POST", 200, ["Destination: /y"], [OWN], id="Destination is for requests"),
    ],
)  # fmt: skip
def test_invalid_keys(method: str, status: int, lines: list[str], invalid: list[str]) -> None:
    request = req(f"{method} {OWN}")
    found = invalidation.keys(request, resp(status, "", *lines))
    assert [str(target) for target in found] == invalid


@pytest.mark.parametrize(
    ("method", "destination", "invalid"),
    [
        param("MOVE", "http://a.example/y", [OWN, "http://a.example/y"], id="4918-9.9 absolute"),
        param("COPY", "/d/y", [OWN, "http://a.example/d/y"], id="4918-9.8 a path"),
        param("MOVE", "http://b.example/y", [OWN], id="4.4 another host"),
        param("COPY", "https://a.example/y", [OWN], id="4.4 another scheme"),
        param("MOVE", "http://[x/y", [OWN], id="no URI"),
        param("MOVE", "/d/x", [OWN], id="onto itself"),
        param("PUT", "/y", [OWN], id="a method without one"),
    ],
)
def test_destinations(method: str, destination: str, invalid: list[str]) -> None:
    request = req(f"{method} {OWN}", f"Destination: {destination}")
    assert [str(uri) for uri in invalidation.keys(request, resp(201))] == invalid
    assert invalidation.keys(request, resp(412)) == ()


@pytest.mark.parametrize("name", ["Location", "Content-Location", "Destination"])
def test_one_answer_names_only_so_many(name: str) -> None:
    lines = [f"{name}: /{number}" for number in range(2000)]
    request = req(f"COPY {OWN}", *(lines if name == "Destination" else ()))
    found = invalidation.keys(request, resp(201, "", *(lines if name != "Destination" else ())))
    assert [str(target) for target in found] == [OWN, "http://a.example/0", "http://a.example/1"]


def test_a_reference_is_resolved_against_the_target_uri() -> None:
    base = uri("http://a.example/d/x?q")
    assert invalidation.resolved(base, "") == base
    assert invalidation.resolved(base, "../z") == uri("http://a.example/z")
    assert invalidation.resolved(base, "mailto:x@a.example") is None


@pytest.mark.parametrize(("line", "names"), [("X-Other: 1", True), ("X-Host: b", False)])
def test_what_a_reflected_field_may_have_written_names_nothing(line: str, names: bool) -> None:
    head = resp(200, "max-age=9", "Location: /y", "Content-Location: /z", GROUPS)
    told = invalidation.told(req(f"POST {OWN}", line), head, OPTIONS)
    assert set(told.fields.names()) == {"cache-control"} | (NAMING if names else set())
