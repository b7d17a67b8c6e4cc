"""Names for bodies."""

import re

from proxy.exchange.names import body_id
from proxy.store.bodies import check_id


def test_each_is_new_and_fits_the_store() -> None:
    names = {body_id() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        check_id(name)
        assert re.fullmatch("[0-9a-f]{32}", name)
