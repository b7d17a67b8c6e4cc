"""What is wrong, in sentences that say where."""

from proxy.config.problems import ConfigError, Problem, did_you_mean


def test_a_problem_says_where_and_which_key() -> None:
    assert str(Problem("c.toml:3", "cache.memory", "is odd")) == "c.toml:3: cache.memory: is odd"
    assert str(Problem("c.toml", "", "is odd")) == "c.toml: is odd"


def test_an_error_says_all_of_them() -> None:
    error = ConfigError([Problem("a", "", "x"), Problem("b", "", "y")])
    assert str(error) == "a: x\nb: y"


def test_suggestions() -> None:
    assert did_you_mean("max_sise", ["memory", "max_size"]) == "; did you mean max_size?"
    assert did_you_mean("zzz", ["memory", "max_size"]) == ""
