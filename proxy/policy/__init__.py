"""HTTP caching (RFC 9111) as decisions. Pure: ``now`` is always an argument."""
