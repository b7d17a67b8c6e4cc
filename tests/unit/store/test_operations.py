import pytest

from proxy.store.operations import MakeRoom, Operation, Put, Remove, RemoveOrphans, Update
from proxy.store.rawdisk import SpooledBody
from tests.support.stores import KEY, response


def put(body: bytes | SpooledBody) -> Put:
    return Put(KEY, response("a"), body, 0)


@pytest.mark.parametrize(
    ("operation", "rows", "files"),
    [
        pytest.param(put(b""), 1024, 0, id="no body"),
        pytest.param(put(b"x" * 4097), 1024 + 8192, 0, id="pages of a body in a row"),
        pytest.param(put(b"x" * 32768), 1024 + 32768, 0, id="the largest in a row"),
        pytest.param(put(b"x" * 32769), 1024, 0, id="will be a file"),
        pytest.param(put(SpooledBody("/x", 32769, 0)), 1024, 36864, id="pages of a file of ours"),
        pytest.param(put(SpooledBody("/x", 9_000_000, 1)), 1024, 0, id="has its room already"),
        pytest.param(Update(KEY, ()), 1024, 0, id="update"),
        pytest.param(Remove(KEY, None), 0, 0, id="remove"),
        pytest.param(MakeRoom(), 0, 0, id="make room"),
        pytest.param(RemoveOrphans(["aa"]), 0, 0, id="orphans"),
    ],
)
def test_the_room_it_takes(operation: Operation, rows: int, files: int) -> None:
    assert (operation.in_rows, operation.in_files) == (rows, files)
