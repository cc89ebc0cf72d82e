-- Sends BODY to PATH with one token of the file TOKENS after the other; compare and flat.py run it. ANSWER says which of the
-- upstream's answers is meant. With PAUSE, each connection waits so many milliseconds before a request, a thread has one
-- connection, and each request's beginning, its microseconds and its status go to the file LOG.THREAD.
local path, answer, pause, log = os.getenv("PATH_ASKED"), os.getenv("ANSWER"), tonumber(os.getenv("PAUSE") or ""), os.getenv("LOG")
local requests, sent, threads = {}, 0, {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("number", #threads)
end

function init()
  local file = assert(io.open(os.getenv("BODY"), "rb"))
  local body = file:read("*a")
  file:close()
  local headers = { ["Host"] = "127.0.0.1", ["Content-Type"] = "application/json", ["X-Answer"] = answer }
  -- LuaJIT's hash of a long string looks at few of its bytes, the last four among them. Of a hundred thousand that differ only
  -- elsewhere each would be held against all others; white space at the end of JSON says nothing.
  local spaces = { " ", "\t", "\r", "\n" }
  for token in io.lines(os.getenv("TOKENS")) do
    local rest, tail = #requests, ""
    for _ = 1, 4 do
      tail = tail .. spaces[rest % 4 + 1]
      rest = math.floor(rest / 4)
    end
    headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("POST", path, headers, body .. tail)
  end
  -- Threads begin at different tokens.
  sent = tonumber(os.getenv("FIRST") or 0) + math.floor(#requests / 7) * (number - 1)
  if log then
    local ffi = require("ffi")
    ffi.cdef("typedef struct { long s; long ns; } now_t; int clock_gettime(int, now_t *);")
    local now, out, begun = ffi.new("now_t"), assert(io.open(log .. "." .. number, "w")), nil
    local function micros()
      ffi.C.clock_gettime(1, now)
      return tonumber(now.s) * 1e6 + tonumber(now.ns) / 1e3
    end
    local format = request
    function request()
      begun = micros()
      return format()
    end
    function response(status)
      out:write(string.format("%.0f %.0f %d\n", begun, micros() - begun, status))
      out:flush()
    end
    function delay()
      return pause
    end
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"bytes":%d,"statuses":%d,"sockets":%d,"p50":%d,"p99":%d}\n', summary.requests,
    summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
