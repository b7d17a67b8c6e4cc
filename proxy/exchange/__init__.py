"""One request and its response: the only place where a decision meets an effect."""
