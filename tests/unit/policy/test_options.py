"""The defaults are the configuration contract."""

from proxy.policy.options import Errors, Options, SetCookie
from proxy.policy.rules import Rule
from proxy.semantics.units import Seconds


def test_defaults() -> None:
    options = Options()
    assert options.set_cookie is SetCookie.EXPLICIT
    assert options.errors is Errors.EXPLICIT
    assert options.rules == ()
    freshness = options.freshness
    assert freshness.heuristic_fraction == 0.1
    assert freshness.heuristic_max == freshness.stale_if_error == Seconds(86400)
    assert freshness.stale_while_revalidate == Seconds(0)
    assert freshness.targeted == ()


def test_settings_are_plain_words() -> None:
    assert SetCookie("rfc") is SetCookie.RFC
    assert Errors("never") is Errors.NEVER


def test_equal_settings_are_equal_options() -> None:
    def made() -> Options:
        return Options(rules=(Rule(match="http://a.example/**", where="c.toml:1"),))

    assert made() == made()


def test_the_client_chain_does_not_pass_the_cache_by() -> None:
    unkeyed = {name.lower() for name in Options().unkeyed_fields}
    assert {"x-forwarded-host", "x-original-url", "x-rewrite-url", "x-host"} <= unkeyed
    assert {"forwarded", "x-http-method-override"} <= unkeyed
    assert "x-forwarded-for" not in unkeyed
