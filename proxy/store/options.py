"""The settings of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.semantics.units import Octets, format_size

if TYPE_CHECKING:
    from pathlib import Path

# Below this the store's own fixed files would be a large part of the whole.
SMALLEST: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """``max_size`` bounds the folder as ``du`` sees it; ``max_object_size`` 0: a quarter of it."""

    dir: Path
    max_size: Octets = Octets(10 * 2**30)
    max_object_size: Octets = Octets(0)
    memory: Octets = Octets(128 * 2**20)

    def __post_init__(self) -> None:
        if self.max_size < SMALLEST:
            raise ValueError(f"max_size must be at least {format_size(SMALLEST)}")

    @property
    def largest_object(self) -> int:
        """The largest body that is stored, in octets: at most half of ``max_size``."""
        return min(self.max_object_size or self.max_size // 4, self.max_size // 2)
