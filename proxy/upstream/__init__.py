"""The way to origins: names, addresses, connections, parents, TLS. Never sees a stored response."""
