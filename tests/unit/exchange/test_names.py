"""Names for bodies and exchanges."""

import re
import subprocess
import sys

from proxy.exchange.names import body_id
from proxy.store.bodies import check_id


def test_each_is_new_and_fits_the_store() -> None:
    names = {body_id() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        check_id(name)
        assert re.fullmatch("[0-9a-f]{32}", name)


SCRIPT = """
import os
from proxy.exchange import names
def named():
    return f"{names.body_id()[:20]} {names.exchange_id()[:9]}"
print(named(), flush=True)
if not os.fork():
    print(named(), flush=True)
"""


def test_what_is_forked_has_names_of_its_own() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    parent, child = (line.split() for line in run.stdout.splitlines())
    assert len(parent) == 2
    assert not set(parent) & set(child)
