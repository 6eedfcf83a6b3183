-- What wrk sends, beyond the same GET: chosen by the first argument after `--`; prints JSON at the end.
-- usage: wrk … -s wrk.lua URL -- get | post TOKEN PREFIX | mix TOKEN PREFIX | names

local serial = 0
local thread_number = 0

function setup(thread)
  thread_number = thread_number + 1
  thread:set("number", thread_number)
end

local names = { "london", "paris", "tokyo", "berlin", "madrid", "cairo", "lima", "oslo", "nairobi",
  "quito", "vienna", "prague", "dublin", "lagos", "seoul", "delhi", "nowhere", "rome", "athens", "bogota" }

local function posted(token, prefix)
  serial = serial + 1
  local path = string.format("/students/%d/chapters/%d/attempts", 1 + serial % 1000, 1 + serial % 20)
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. token,
    ["Idempotency-Key"] = string.format("%s-%d-%d", prefix, number, serial),
  }
  local body = '{"score": 7, "max_score": 10, "taken_at": "2026-01-02T03:04:05Z"}'
  return wrk.format("POST", path, headers, body)
end

function init(args)
  local kind, token, prefix = args[1] or "get", args[2] or "", args[3] or ""
  if kind == "post" then
    request = function() return posted(token, prefix) end
  elseif kind == "mix" then
    local count, get = 0, wrk.format("GET")
    request = function()
      count = count + 1
      return count % 10 == 0 and posted(token, prefix) or get
    end
  elseif kind == "names" then
    local count, gets = 0, {}
    for i, name in ipairs(names) do gets[i] = wrk.format("GET", "/?city=" .. name) end
    request = function()
      count = count + 1
      return gets[1 + count % #gets]
    end
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n@{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d,' ..
    ' "status": %d, "socket": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
