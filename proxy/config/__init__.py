"""Configuration: defaults < file < environment < flags, strict and typed, into one ``Settings``.

Each floor defines its own frozen Options; this floor alone knows that there are TOML, variables
and flags. Everything that is wrong is told at once, each with where, which key, what, and what
was probably meant.
"""

from proxy.config.layers import load
from proxy.config.problems import ConfigError, Problem
from proxy.config.settings import Settings

__all__ = ["ConfigError", "Problem", "Settings", "load"]
