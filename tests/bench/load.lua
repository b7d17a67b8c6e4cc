-- One client of a forward proxy, for wrk:
--   wrk OPTIONS -s load.lua PROXY -- ORIGIN PATH SALT URLS [FIELD ...]
-- Each URL is PATH?SALT-NUMBER; URLS says how many there are, 0 that none comes twice.
local origin, path, salt, urls, fields
local ready, sent = {}, 0

local function head(number)
  return "GET http://" .. origin .. path .. "?" .. salt .. "-" .. number .. " HTTP/1.1\r\nHost: "
    .. origin .. "\r\nUser-Agent: bench\r\nAccept: */*\r\n" .. fields .. "\r\n"
end

function init(args)
  origin, path, salt, urls = args[1], args[2], args[3], tonumber(args[4])
  fields = ""
  for i = 5, #args do fields = fields .. args[i] .. "\r\n" end
  for number = 1, urls do ready[number] = head(number) end
end

function request()
  sent = sent + 1
  return urls > 0 and ready[sent % urls + 1] or head(sent)
end

function done(summary, latency)
  local bad = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.4f, "p99": %.4f, "octets": %.0f}',
    summary.requests, summary.duration / 1e6,
    bad.status + bad.connect + bad.read + bad.write + bad.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, summary.bytes))
end
