import time

from proxy.store.base import new_id
from proxy.store.bodies import check_id


def test_ids_are_new_in_order_and_spread_over_the_folders() -> None:
    begun = time.time_ns()
    ids = [check_id(new_id()) for _ in range(1000)]
    assert begun <= int(ids[0][:16], 16) <= time.time_ns()
    assert len(set(ids)) == 1000
    assert sorted(ids) == ids
    assert {len(id_) for id_ in ids} == {32}
    assert len({id_[-2:] for id_ in ids}) == 256  # the folder is the end of the id
