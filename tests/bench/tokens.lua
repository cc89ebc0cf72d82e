-- Sends COUNT requests and ends; tests/bench/tokens.py runs it. A request is PREFIX, a line of FILE, and SUFFIX.
-- With CHAIN, the lines are the first ones alone: what CHAIN matches in an answer is the line of a later request.
local count, prefix, suffix, chain = tonumber(os.getenv("COUNT")), os.getenv("PREFIX"), os.getenv("SUFFIX"), os.getenv("CHAIN")
local lines, pool, last = assert(io.open(os.getenv("FILE"))), {}, nil
local asked, answered, statuses = false, 0, {}

function request()
  -- wrk asks for one before the first connection and does not send it.
  if not asked then
    asked = true
    return "GET / HTTP/1.1\r\nHost: sidecar\r\n\r\n"
  end
  -- Those that come after the last line are sent to keep every connection busy until the last answer; none is counted.
  local line = table.remove(pool) or lines:read("*l")
  last = line or last
  return prefix .. last .. suffix
end

function response(status, _, body)
  answered = answered + 1
  statuses[status] = (statuses[status] or 0) + 1
  if chain then
    pool[#pool + 1] = body:match(chain)
  end
  if answered == count then
    local parts = {}
    for code, times in pairs(statuses) do
      parts[#parts + 1] = string.format('"%d":%d', code, times)
    end
    io.write("RESULT {", table.concat(parts, ","), "}\n")
    io.flush()
    os.exit(0)
  end
end
