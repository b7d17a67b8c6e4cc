"""What is asked of proxies under load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Workload:
    """GETs of ``path`` with ``fields``: of so many ``urls`` in turn; 0: none comes twice."""

    name: str
    path: str
    urls: int
    connections: int = 32
    fields: tuple[str, ...] = ()


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("hit1k", "/fresh/1024", 1),
        Workload("hit1k-1000", "/fresh/1024", 1000),
        Workload("hit100k", "/fresh/100000", 20),
        Workload("hit10m", "/fresh/10000000", 4, connections=8),
        Workload("miss1k", "/passing/1024", 1),
        Workload("store10k", "/fresh/10000", 0),
        Workload("reval1k", "/checked/1024", 50),
        Workload("client304", "/fresh/1024", 50, fields=('If-None-Match: "v1"',)),
        Workload("range", "/fresh/1000000", 20, fields=("Range: bytes=1000-9999",)),
        Workload("gzip-client", "/fresh/20000", 50, fields=("Accept-Encoding: gzip, deflate, br",)),
        Workload("hit1k-512c", "/fresh/1024", 100, connections=512),
    )
}
