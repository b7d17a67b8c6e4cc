"""HTTP/1.1 message syntax (RFC 9112), one strict grammar for both sides: bytes in, values out."""
