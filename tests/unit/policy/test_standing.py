"""How a request stands before the cache: worked out once."""

import pytest

from proxy.policy.directives import NO_REQUEST_DIRECTIVES
from proxy.policy.options import Options
from proxy.policy.reasons import Reason
from proxy.policy.rules import Rule
from proxy.policy.standing import standing
from tests.support.stored import GET, OPTIONS, get

param = pytest.param

KEPT = Rule(match="http://a.example/**")
UNCACHED = Rule(match="http://a.example/**", cache=False)


@pytest.mark.parametrize(
    ("lines", "rule", "beyond", "passes_by"),
    [
        param([], None, None, None, id="nothing speaks against the cache"),
        param([], KEPT, None, None, id="a rule that says something else"),
        param([], UNCACHED, None, Reason.RULE_NO_CACHE, id="a rule"),
        param(["Cache-Control: no-store"], None, None, Reason.REQUEST_NO_STORE, id="5.2.1.5"),
        param(["Cache-Control: no-store"], UNCACHED, None, Reason.RULE_NO_CACHE,
              id="the rule before the request"),
        param(["Content-Length: 1"], UNCACHED, Reason.REQUEST_BODY, Reason.REQUEST_BODY,
              id="content before the rule"),
        param(['If-Match: "a"'], None, None, Reason.REQUEST_PRECONDITION, id="4.3.2 If-Match"),
        param(["if-unmodified-since: x"], None, None, Reason.REQUEST_PRECONDITION,
              id="4.3.2 If-Unmodified-Since"),
        param(["If-Match: *", "Cache-Control: no-store"], None, None, Reason.REQUEST_NO_STORE,
              id="no-store before preconditions"),
        param(['If-None-Match: "a"', "If-Modified-Since: x"], None, None, None,
              id="4.3.2 what a cache judges"),
        param(["Content-Length: 1", "Cache-Control: no-store"], None, Reason.REQUEST_BODY,
              Reason.REQUEST_BODY, id="content before no-store"),
        param(["X-Forwarded-Host: b"], None, Reason.REQUEST_REFLECTED, Reason.REQUEST_REFLECTED,
              id="a field that is in no key"),
    ],
)  # fmt: skip
def test_why_it_passes_by(
    lines: list[str], rule: Rule | None, beyond: Reason | None, passes_by: Reason | None
) -> None:
    options = Options(rules=(rule,) if rule is not None else ())
    found = standing(get(*lines), options)
    assert (found.rule, found.beyond, found.passes_by) == (rule, beyond, passes_by)


@pytest.mark.parametrize(
    ("line", "authorized", "personal"),
    [
        param("Accept: a/b", False, False, id="anybody's"),
        param("Cookie: a=b", False, True, id="cookie"),
        param("Authorization: x", True, True, id="3.5 authorization"),
    ],
)
def test_whose_it_is(line: str, authorized: bool, personal: bool) -> None:
    found = standing(get(line), OPTIONS)
    assert (found.authorized, found.personal) == (authorized, personal)


def test_directives() -> None:
    assert standing(GET, OPTIONS).directives == NO_REQUEST_DIRECTIVES
    assert standing(get("Cache-Control: max-age=5"), OPTIONS).directives.max_age == 5


def test_remembered_for_these_options_alone() -> None:
    request = get()
    first = standing(request, OPTIONS)
    assert standing(request, OPTIONS) is first
    other = Options(rules=(UNCACHED,))
    assert standing(request, other).passes_by is Reason.RULE_NO_CACHE
    assert request == get()
    assert repr(request) == repr(get())
