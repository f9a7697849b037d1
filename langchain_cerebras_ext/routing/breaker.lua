-- One leg's circuit, shared by processes: `_breaker_memory.py` again, whose comments are
-- not repeated here. One call of this script is one step, and atomic.
--
-- KEYS  1 the circuit: JSON
-- ARGV  1 the time in seconds ('' for this server's), 2 the rules (JSON), 3 what to do
--       (JSON); each of these may be left out, and they are done in this order:
--         reset     true: as new
--         tally     {epoch, calls, failures, slow, least_s}: ordinary calls that ended
--         ends      list of {id, 'ok' | 'failed' | 'none', least_s}: probes that ended
--         pause_s   for how long the service wants to be left alone
--         claim     id: a call that wants to pass
-- Gives JSON: the answer to `claim` ('pass', 'probe', 'busy', 'open', 'paused'), and the
-- circuit as it is now.

local KEY = KEYS[1]
local rules, todo = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local now = tonumber(ARGV[1])
if now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local SLICES = rules.slices
local slot = math.floor(now / (rules.window_s / SLICES))

local function fresh(epoch)
  return {
    phase = 'closed', epoch = epoch, trips = 0, until_s = 0, pause_s = 0,
    probed = 0, probes = {}, slices = {},
  }
end

local kept = redis.call('GET', KEY)
local circuit = kept and cjson.decode(kept) or fresh(0)
local changed = false

local function counts()
  local calls, failures, slow = 0, 0, 0
  for name, row in pairs(circuit.slices) do
    if tonumber(name) <= slot - SLICES then
      circuit.slices[name] = nil
    else
      calls, failures, slow = calls + row[1], failures + row[2], slow + row[3]
    end
  end
  return calls, failures, slow
end

local function become(phase)
  circuit.phase = phase
  circuit.epoch = circuit.epoch + 1
  circuit.probed = 0
  circuit.probes = {}
end

local function trip(least_s)
  circuit.trips = circuit.trips + 1
  local longer = rules.open_s * rules.backoff ^ math.min(circuit.trips - 1, 64)
  circuit.until_s = now + math.min(math.max(longer, least_s or 0), rules.max_open_s)
  become('open')
end

local function close()
  circuit.trips = 0
  circuit.pause_s = 0
  circuit.slices = {}
  become('closed')
end

local function add(tally)
  if tally.epoch ~= circuit.epoch or circuit.phase ~= 'closed' then return end
  local name = string.format('%d', slot)
  local row = circuit.slices[name] or {0, 0, 0}
  row[1], row[2], row[3] =
    row[1] + tally.calls, row[2] + tally.failures, row[3] + tally.slow
  circuit.slices[name] = row
  if tally.failures == 0 then return end
  local calls, failures = counts()
  if calls >= rules.min_calls and failures >= rules.failure_rate * calls then
    trip(tally.least_s)
  end
end

local function finish(id, verdict, least_s)
  if not circuit.probes[id] or circuit.phase ~= 'half-open' then return end
  circuit.probes[id] = nil
  if verdict == 'failed' then
    trip(least_s)
  elseif verdict == 'ok' then
    circuit.probed = circuit.probed + 1
    if circuit.probed >= rules.half_open_probes then close() end
  end
end

local function claim(id)
  if circuit.phase == 'open' and now < circuit.until_s then return 'open' end
  if circuit.pause_s > now then return 'paused' end
  if circuit.phase == 'closed' then return 'pass' end
  if circuit.phase == 'open' then become('half-open') end
  -- The client sends a step again if its answer was lost.
  if circuit.probes[id] then return 'probe' end
  local under_way = 0
  for other, lease in pairs(circuit.probes) do
    if lease <= now then
      circuit.probes[other] = nil
    else
      under_way = under_way + 1
    end
  end
  if circuit.probed + under_way >= rules.half_open_probes then return 'busy' end
  circuit.probes[id] = now + rules.probe_timeout_s
  return 'probe'
end

if todo.reset then
  circuit = fresh(circuit.epoch + 1)
  changed = true
end
if todo.tally then
  add(todo.tally)
  changed = true
end
for _, ended in ipairs(todo.ends or {}) do
  finish(ended[1], ended[2], ended[3])
  changed = true
end
if todo.pause_s then
  circuit.pause_s =
    math.max(circuit.pause_s, now + math.min(todo.pause_s, rules.max_open_s))
  changed = true
end
local answer = ''
if todo.claim then
  answer = claim(todo.claim)
  changed = changed or answer == 'probe' or answer == 'busy'
end

local calls, failures, slow = counts()
local open_s = 0
if circuit.phase == 'open' then open_s = math.max(0, circuit.until_s - now) end
local paused_s = math.max(0, circuit.pause_s - now)
if changed then
  -- So long nobody has to be reminded of anything.
  local live_s = rules.window_s + rules.max_open_s + rules.probe_timeout_s
  local live_ms = math.ceil((live_s + math.max(open_s, paused_s)) * 1000)
  redis.call('SET', KEY, cjson.encode(circuit), 'PX', live_ms)
end
return cjson.encode({
  answer = answer, phase = circuit.phase, epoch = circuit.epoch, trips = circuit.trips,
  open_s = open_s, pause_s = paused_s, calls = calls, failures = failures, slow = slow,
  at = string.format('%.6f', now),
})
