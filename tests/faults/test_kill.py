"""``kill -9`` at any time: at most the fills in flight are lost, and never a wrong byte served."""

import signal

from tests.conftest import StartProcess
from tests.support.origin import Gate, Origin, head, reply

FRESH = "Cache-Control: max-age=600"
BODY = bytes(range(256)) * 4000


async def test_killed_between_and_within_fills(start_process: StartProcess, origin: Origin) -> None:
    gate = Gate()
    origin.serve("/whole", reply(200, FRESH, body=BODY))
    origin.serve("/cut", head(200, FRESH, f"Content-Length: {len(BODY)}") + BODY[:500_000], gate)
    origin.serve("/cut", reply(200, FRESH, body=BODY))
    process = await start_process()
    await process.get(origin.url("/whole"))
    assert (await process.get(origin.url("/whole"))).hit
    incoming = await process.open(origin.url("/cut"))
    await incoming.read(400_000)
    await process.stop(signal.SIGKILL)
    gate.open()
    await process.start()
    for path in ("/whole", "/cut", "/cut"):
        assert (await process.get(origin.url(path))).body == BODY
    assert origin.count("/whole") <= 2
    assert origin.count("/cut") == 2


async def test_nothing_is_left_behind(start_process: StartProcess, origin: Origin) -> None:
    process = await start_process()
    sizes = []
    for turn in range(3):
        line = f"Content-Length: {len(BODY)}"
        origin.serve(f"/{turn}", head(200, FRESH, line) + BODY[:900_000], Gate())
        incoming = await process.open(origin.url(f"/{turn}"))
        await incoming.read(800_000)
        await process.stop(signal.SIGKILL)
        await process.start()
        assert (await process.get("/healthz")).status == 200
        files = (process.folder / "cache").rglob("*")
        sizes.append(sum(file.stat().st_size for file in files if file.is_file()))
    assert sizes[-1] - sizes[0] < 500_000, sizes
