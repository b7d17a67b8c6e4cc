"""What schemathesis asks with, loaded by it: only what our own origin has, and names of nobody.

``ORIGIN_URLS`` are the URLs, one a line.
"""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

URLS = os.environ["ORIGIN_URLS"].splitlines()
OTHERS = ["http://name.test/", "https://a.test:8443/x?y", "http://[::1]:8080/"]

schemathesis.openapi.format("uri", st.sampled_from([*URLS, *OTHERS]))
schemathesis.openapi.format(
    "url-glob", st.sampled_from(["http://*.test/**", "https://a.test/*.deb"])
)
# Cursors are a page's own: there is none to begin with.
schemathesis.openapi.format("cursor", st.just(""))
