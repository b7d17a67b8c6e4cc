"""Content codings (RFC 9110 §8.4): octets to octets, and which form a client gets. Pure."""
