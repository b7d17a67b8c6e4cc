// Runs the public HTTP cache test suite through a forward proxy, with the suite's origin in this
// process on a free loopback port. Writes {tests, results} as JSON.
//
//     node suite.mjs SUITE_FOLDER PROXY_URL OUT.json
//
// Two layouts are known: the repository, whose client uses the global fetch and undici, and the
// older package, whose client is handed a fetch (node-fetch).
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [folder, proxy, out] = process.argv.slice(2)
const need = createRequire(path.join(path.resolve(folder), 'package.json'))
const engine = fs.existsSync(path.join(folder, 'test-engine')) ? 'test-engine' : '.'
const at = name => pathToFileURL(path.resolve(folder, name)).href

async function startOrigin () {
  // The server module listens when it is imported: on the port and address decided here.
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'suite-'))
  process.env.npm_config_protocol = 'http'
  process.env.npm_config_port = '80'
  process.env.npm_config_pidfile = path.join(scratch, 'pid')
  const create = http.createServer
  const listening = new Promise((resolve, reject) => {
    http.createServer = (...handler) => {
      const server = create(...handler)
      // Longer than the pauses of the tests, or a PUT may meet the close and count as a lost test.
      server.keepAliveTimeout = 8_000
      const listen = server.listen.bind(server)
      server.listen = () => listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
      server.once('listening', () => resolve(server.address().port)).once('error', reject)
      return server
    }
  })
  await import(at(`${engine}/server/server.mjs`))
  http.createServer = create
  return `http://127.0.0.1:${await listening}`
}

function throughUndici () {
  const undici = need('undici')
  // Absolute-form requests, not CONNECT; the tests of interim responses make an Agent themselves.
  const through = { uri: proxy, proxyTunnel: false }
  const Proxied = undici.ProxyAgent
  undici.setGlobalDispatcher(new Proxied(through))
  undici.Agent = function () { return new Proxied(through) }
}

function throughNodeFetch () {
  const fetch = need('node-fetch')
  const { hostname, port } = new URL(proxy)
  class AbsoluteForm extends http.Agent {
    addRequest (request, options) {
      request.path = `http://${options.host}:${options.port}${request.path}`
      super.addRequest(request, { ...options, host: hostname, hostname, port })
    }
  }
  const agent = new AbsoluteForm({ keepAlive: true })
  return (url, init) => fetch(url, { ...init, agent })
}

const base = await startOrigin()
const suites = (await import(at('tests/index.mjs'))).default
const atOnce = 100
const older = engine === '.'
if (!older) throughUndici()
const { runTests, getResults } = await import(at(`${engine}/client/runner.mjs`))
await (older
  ? runTests(suites, throughNodeFetch(), false, base, atOnce)
  : runTests(suites, false, base, atOnce))
const tests = suites.flatMap(suite => suite.tests.map(test => ({
  id: test.id,
  suite: suite.id,
  kind: test.kind ?? 'required',
  needs: test.depends_on ?? [],
  browser: test.browser_only === true
})))
fs.writeFileSync(out, JSON.stringify({ tests, results: getResults() }))
process.exit(0)
