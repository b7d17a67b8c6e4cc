"""node's fetch through undici's ProxyAgent, which sends CONNECT for plain HTTP too."""

import os
from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

SCRIPT = """
const { createRequire } = require('node:module')
const [suite, global, proxy, tunnel, url] = process.argv.slice(2)
let undici
for (const folder of [suite, global, process.cwd()]) {
  if (!folder) continue
  try { undici = createRequire(folder + '/package.json')('undici'); break } catch {}
}
if (!undici) { console.log('no undici'); process.exit(0) }
const dispatcher = new undici.ProxyAgent({ uri: proxy, proxyTunnel: tunnel === 'true' })
undici.fetch(url, { dispatcher }).then(async answer => {
  console.log(answer.headers.get('cache-status').includes('; hit'), await answer.text())
  await dispatcher.close()
})
"""


@pytest.mark.parametrize("tunnel", ["true", "false"], ids=["CONNECT", "absolute-form"])
async def test_fetch_with_proxy_agent(
    run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path, tunnel: str
) -> None:
    node = program("node")
    npm_modules = (await run(program("npm"), "root", "-g")).strip()
    origin.serve("/a", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    (tmp_path / "fetch.cjs").write_text(SCRIPT)
    folders = (os.environ.get("CACHE_TESTS_DIR", ""), f"{npm_modules}/npm")
    for expected in ("false hello\n", "true hello\n"):
        out = await run(node, "fetch.cjs", *folders, process.url, tunnel, origin.url("/a"))
        if out == "no undici\n":
            pytest.skip("undici is not installed")
        assert out == expected
    assert len(origin.requests) == 1
