"""Who may use the proxy, and where it may connect. Pure."""
