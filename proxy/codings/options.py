"""The section ``[coding]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from proxy.codings.registry import Coding
from proxy.semantics.units import Octets

ENCODED: Final = (Coding.ZSTD, Coding.BR, Coding.GZIP)
# What shrinks; formats that are compressed in themselves (images, archives, woff2) do not.
TYPES: Final = (
    "text/*",
    "application/*+json",
    "application/*+xml",
    "application/ecmascript",
    "application/javascript",
    "application/json",
    "application/json5",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
)
_GLOB: Final = re.compile(r"[!#$&^_.+\-*0-9a-z]+/[!#$&^_.+\-*0-9a-z]+", re.IGNORECASE)
# A level that any of the libraries behind a coding has, and whose window every decoder has
# (RFC 9659 §3: zstd from level 20 on wants more than 8 MiB).
_LEVELS: Final = {"gzip_level": (1, 3), "br_level": (0, 11), "zstd_level": (1, 19)}


@dataclass(frozen=True, slots=True)
class CodingOptions:
    """How bodies are compressed and decompressed on their way. Raises ValueError for nonsense.

    ``negotiate``: whether origins are asked for codings in the proxy's own words, and not in those
    of each client. ``encode``: whether plain bodies are compressed for clients
    that like that ("always", "never"), or only for those on other machines ("auto"). ``types``:
    the media types worth compressing, ``*`` for any part of a name. ``min_size``: the smallest
    body worth compressing. ``prefer``: which coding a client gets that likes several as much, the
    best first, and what origins are asked for where ``negotiate`` says so. ``gzip_level``: from 1
    (fast) to 3 (small). ``br_level``: from 0 (fast) to 11 (small). ``zstd_level``: from 1 (fast)
    to 19 (small).
    ``max_ratio``: a body that grows by more than this factor is not decoded, but passed on as it
    came; 0: any is decoded. ``max_decoded``: the same for one that grows beyond this.
    """

    negotiate: bool = False
    encode: Literal["auto", "always", "never"] = "auto"
    types: tuple[str, ...] = TYPES
    min_size: Octets = Octets(2**10)
    prefer: tuple[Coding, ...] = ENCODED
    gzip_level: int = 2
    br_level: int = 4
    zstd_level: int = 3
    max_ratio: int = 1000
    max_decoded: Octets = Octets(0)

    def __post_init__(self) -> None:
        for glob in self.types:
            if not _GLOB.fullmatch(glob):
                raise ValueError(f"types has {glob!r}: write media types such as text/*")
        unknown = [each for each in self.prefer if each not in ENCODED]
        if unknown or len(set(self.prefer)) < len(self.prefer):
            raise ValueError(f"prefer has each of {', '.join(ENCODED)} at most once")
        for name, (least, most) in _LEVELS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is a number from {least} to {most}")
        if self.max_ratio < 0:
            raise ValueError("max_ratio is a factor such as 1000, or 0 for none")
