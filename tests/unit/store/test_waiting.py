import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import tiered, waiting
from proxy.store.base import BodyLost, Store, StoreFailed
from proxy.store.folder import Folder, UnsafeFolder
from proxy.store.tiered import TieredStore
from proxy.store.waiting import WaitingStore, open_or_wait
from tests.support.stores import KEY, options, response


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The disk fails whoever opens a folder, until this is undone."""

    def fail(_: object) -> Folder:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(tiered, "Folder", fail)
        yield patch


async def test_the_store_itself_when_it_can_be_opened(tmp_path: Path) -> None:
    store = await open_or_wait(options(tmp_path))
    assert isinstance(store, TieredStore)
    await store.close()


@pytest.fixture
def unsafe(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    return tmp_path


async def test_an_unsafe_folder_is_refused_for_good(unsafe: Path) -> None:
    with pytest.raises(UnsafeFolder):
        await open_or_wait(options(unsafe))


@pytest.mark.usefixtures("failing")
async def test_empty_and_refusing_while_it_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        opened = await open_or_wait(options(tmp_path))
    assert len(caplog.messages) == 1
    assert isinstance(opened, WaitingStore)
    store: Store = opened
    stored = response("a")
    assert store.peek(KEY) == await store.lookup(KEY)
    assert (await store.lookup(KEY)).variants == ()
    assert (store.generation(KEY), store.removals(KEY), store.held(stored)) == (0, 0, None)
    store.touch(KEY)
    for refused in (store.reserve, lambda _: store.spool()):
        with pytest.raises(StoreFailed):
            refused(1)
    with pytest.raises(StoreFailed):
        await store.put(KEY, stored, b"A", 0)
    with pytest.raises(BodyLost):
        await store.open(KEY, stored)
    await store.update(KEY, [stored])
    assert await store.remove(KEY) == 0
    assert opened.usage() == (0, 64 * 2**20, 0)
    await opened.close()


async def test_it_becomes_the_store(
    tmp_path: Path, failing: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_TRY_AGAIN", 0.0)
    store = await open_or_wait(options(tmp_path))
    assert isinstance(store, WaitingStore)
    failing.undo()
    await store._waiting
    store.reserve(1)
    await store.put(KEY, response("a"), b"A", store.removals(KEY))
    found = store.peek(KEY)
    assert found is not None
    assert found == await store.lookup(KEY)
    assert found.generation == store.generation(KEY)
    (stored,) = found.variants
    assert store.held(stored) == b"A"
    store.touch(KEY)
    (await store.open(KEY, stored)).close()
    spool = store.spool()
    await spool.append(b"B")
    await store.adopt(KEY, response("b"), spool, store.removals(KEY))
    await store.update(KEY, [response("b")])
    assert store.usage()[2] == 1
    assert await store.remove(KEY) == 1
    await store.close()
