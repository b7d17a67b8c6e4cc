"""HTTP semantics (RFC 9110): values and field syntax. Pure: no sockets, no clocks, no disks."""
