-- The limits of one model, and the line of those who wait for them, shared by processes.
--
-- The arithmetic is that of `_buckets.py`, whose comments are not repeated here; a test
-- holds the two together. One call of this script is one step, and atomic.
--
-- KEYS  1 state: packed: buckets, counters, refusals
--       2 line: sorted set, ticket -> place
--       3 tickets: hash, ticket -> packed {need, lease, snapshot}
--       4 held back: sorted set, ticket -> when a turn that nobody took is given back
--       5 under way: sorted set, ticket -> when it is forgotten
-- ARGV  1 what to do, 2 the time ('' for this server's), 3 configuration (JSON), then
--       the operation's own arguments.
--
-- Answers are lists of texts: Redis would cut numbers to integers.

local WINDOW_S = {second = 1, minute = 60, hour = 3600, day = 86400}
local INDEX = {requests = 1, tokens = 2, uncached = 3}
local MARGIN, A_LITTLE_S, PROMPT_S = 0.001, 0.0001, 0.01
local ROUND_TRIPS, LATENCY_SHARE, SHORTEST_SLOT_S = 4, 0.1, 0.001
local GUESS_SHRINKS, GUESS_GROWS = 0.8, 1.1
local NEVER = -1e300
local TURNS_A_STEP = 100

local STATE, LINE, TICKETS, HELD, UNDER_WAY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local operation, config = ARGV[1], cjson.decode(ARGV[3])
local latency_s, learns = config.latency_s, config.learn
local now = tonumber(ARGV[2])
if now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function text(number)
  return string.format('%.17g', number)
end

-- ------------------------------------------------------------------------- buckets

local state, buckets, names

local function resize(bucket, capacity)
  bucket.capacity = math.min(capacity, bucket.most)
  bucket.rate = bucket.capacity / WINDOW_S[bucket.window] * (1 - MARGIN)
end

local function add(kind, window, capacity, source)
  local bucket = {
    kind = kind, window = window, source = source, index = INDEX[kind],
    most = source == 'yours' and capacity or 1e300,
    latency_s = math.min(latency_s, LATENCY_SHARE * WINDOW_S[window]),
    full_at = NEVER, since = NEVER, grown_at = NEVER,
  }
  resize(bucket, capacity)
  local name = kind .. '/' .. window
  buckets[name] = bucket
  names[#names + 1] = name
  return bucket
end

local function level_of(bucket)
  local behind = bucket.full_at - now + math.min(now - bucket.since, bucket.latency_s)
  if behind <= 0 then return bucket.capacity end
  return bucket.capacity - bucket.rate * behind
end

local function set_level(bucket, level)
  local missing = math.max(0, bucket.capacity - level) / bucket.rate
  bucket.full_at = now + missing - math.min(now - bucket.since, bucket.latency_s)
end

local function lift(bucket, level, others)
  local most = bucket.capacity - others
  if level < most - bucket.rate * bucket.latency_s then
    set_level(bucket, level)
    return
  end
  level = math.min(level, most)
  if level > level_of(bucket) then
    bucket.since = now
    bucket.full_at = now + (bucket.capacity - level) / bucket.rate
  end
end

local function bucket_wait(bucket, amount)
  if level_of(bucket) >= amount then return 0 end
  local missing = (bucket.capacity - amount) / bucket.rate
  return bucket.full_at + bucket.latency_s - missing - now + A_LITTLE_S
end

local function bucket_take(bucket, amount)
  if bucket.full_at < now then
    if bucket.full_at - now + math.min(now - bucket.since, bucket.latency_s) <= 0 then
      bucket.since = now
    end
    bucket.full_at = now
  end
  bucket.full_at = bucket.full_at + amount / bucket.rate
end

local function exceeded(need)
  for _, name in ipairs(names) do
    local bucket = buckets[name]
    if need[bucket.index] > bucket.capacity then
      if bucket.source ~= 'guessed' then return bucket end
      resize(bucket, need[bucket.index])
    end
  end
end

local function wait_for(need)
  local longest = math.max(0, state.open_at - now)
  for _, name in ipairs(names) do
    longest = math.max(longest, bucket_wait(buckets[name], need[buckets[name].index]))
  end
  return longest
end

local function least_wait_for(need, ahead)
  local longest = math.max(0, state.open_at - now)
  for _, name in ipairs(names) do
    local bucket, amount = buckets[name], need[1] + ahead
    if bucket.index > 1 then
      amount = need[bucket.index] - state.under_way[bucket.index]
    end
    longest = math.max(longest, bucket_wait(bucket, amount))
  end
  return longest
end

local function copy(amounts)
  return {amounts[1], amounts[2], amounts[3]}
end

local function net()
  local spent, held = state.spent, state.under_way
  return {spent[1] + held[1], spent[2] + held[2], spent[3] + held[3]}
end

local function turn()
  local marks = state.marks
  local slot_s = math.max(latency_s / ROUND_TRIPS / 2, SHORTEST_SLOT_S)
  if now < marks[#marks].at + slot_s then return end
  marks[#marks + 1] = {at = now, taken = copy(state.taken), spent = copy(state.spent)}
  while #marks > 1 and marks[2].at <= now - latency_s / ROUND_TRIPS do table.remove(marks, 1) end
  if now >= state.minute_end then
    local here = net()
    local late = now >= state.minute_end + 60
    state.minute_before = late and here or state.minute_begin
    state.minute_begin, state.minute_end = here, now + 60
  end
end

local function in_last_minute(index)
  local passed = math.max(0, math.min(1, 1 - (state.minute_end - now) / 60))
  local before, begin = state.minute_before[index], state.minute_begin[index]
  return net()[index] - begin + (1 - passed) * (begin - before)
end

local function take(need)
  turn()
  for _, name in ipairs(names) do
    bucket_take(buckets[name], need[buckets[name].index])
  end
  for index = 1, 3 do
    state.taken[index] = state.taken[index] + need[index]
    state.under_way[index] = state.under_way[index] + need[index]
  end
  return {at = now, back = copy(state.back), spent = copy(state.spent)}
end

local function claim(need, at)
  if now <= at.at + PROMPT_S then return at end
  for _, name in ipairs(names) do
    local bucket = buckets[name]
    bucket.full_at = bucket.full_at - need[bucket.index] / bucket.rate
    bucket_take(bucket, need[bucket.index])
  end
  for index = 1, 3 do
    state.taken[index] = state.taken[index] + need[index]
  end
  return {at = now, back = copy(state.back), spent = copy(state.spent)}
end

local function meanwhile(index, need, at)
  local mark = state.marks[1]
  local own = at.at >= mark.at and need[index] or 0
  local recent = state.taken[index] - mark.taken[index] - own
  local ended = state.spent[index] - math.max(at.spent[index], mark.spent[index])
  return math.min(state.under_way[index], recent) + ended
end

local function settle(need, used, at)
  turn()
  local others = {}
  for index = 1, 3 do
    state.under_way[index] = state.under_way[index] - need[index]
    others[index] = meanwhile(index, need, at)
  end
  for _, name in ipairs(names) do
    local bucket = buckets[name]
    local surplus = need[bucket.index] - used[bucket.index]
    if surplus > 0 then
      lift(bucket, level_of(bucket) + surplus, others[bucket.index])
    elseif surplus < 0 then
      bucket_take(bucket, -surplus)
    end
  end
  for index = 1, 3 do
    state.spent[index] = state.spent[index] + used[index]
    state.back[index] = state.back[index] + need[index] - used[index]
  end
end

local function lose(need)
  for index = 1, 3 do
    state.under_way[index] = state.under_way[index] - need[index]
    state.spent[index] = state.spent[index] + need[index]
  end
end

-- -------------------------------------------------------------------------- learn

local function learn(reading, used, at)
  local bucket = buckets[reading.kind .. '/' .. reading.window]
  local is_new = bucket == nil
  if reading.limit then
    if bucket == nil then
      bucket = add(reading.kind, reading.window, reading.limit, 'learned')
    elseif bucket.source ~= 'yours' then
      bucket.source = 'learned'
    end
    resize(bucket, reading.limit)
  end
  if bucket == nil or not reading.remaining then return end
  local index = bucket.index
  local given_back = state.back[index] - at.back[index]
  local highest = reading.remaining + 1 + bucket.rate * (now - at.at) + given_back
  local ended = state.spent[index] - at.spent[index] - used[index]
  local others = state.under_way[index] + ended
  local lowest, level = reading.remaining - others, level_of(bucket)
  if is_new then
    bucket.since = now
    set_level(bucket, lowest)
  elseif level > highest then
    set_level(bucket, highest)
  elseif level < lowest and bucket.source ~= 'yours' then
    lift(bucket, lowest, others)
  end
end

local function close(closure, need)
  local kind = closure.kinds[1]
  for _, each in ipairs(closure.kinds) do
    if buckets[each .. '/' .. closure.window] then
      kind = each
      break
    end
  end
  local name, index = kind .. '/' .. closure.window, INDEX[kind]
  local bucket = buckets[name]
  if bucket == nil and learns and closure.window == 'minute' then
    local guess = math.max(need[index], in_last_minute(index))
    bucket = add(kind, closure.window, guess, 'guessed')
  elseif bucket ~= nil and bucket.source == 'guessed' then
    resize(bucket, math.max(need[index], GUESS_SHRINKS * bucket.capacity))
  end
  local wait_s = closure.wait_s
  if bucket ~= nil then
    bucket.grown_at = now
    wait_s = wait_s or math.min(need[index], bucket.capacity) / bucket.rate
    set_level(bucket, math.min(level_of(bucket), 0))
  else
    wait_s = wait_s or math.max(1, WINDOW_S[closure.window] / 60)
  end
  state.closed[name] = math.max(state.closed[name] or NEVER, now + wait_s)
  state.open_at = math.max(state.open_at, now + wait_s)
end

local function grow()
  for _, name in ipairs(names) do
    local bucket = buckets[name]
    if bucket.source == 'guessed' and now >= bucket.grown_at + 60 then
      bucket.grown_at = now
      resize(bucket, GUESS_GROWS * bucket.capacity)
    end
  end
end

-- -------------------------------------------------------------------- load and save

local function load()
  local packed = redis.call('GET', STATE)
  if packed then
    state = cmsgpack.unpack(packed)
  else
    state = {
      buckets = {}, names = {}, closed = {}, open_at = NEVER, place = 0,
      under_way = {0, 0, 0}, taken = {0, 0, 0}, spent = {0, 0, 0}, back = {0, 0, 0},
      marks = {{at = NEVER, taken = {0, 0, 0}, spent = {0, 0, 0}}},
      minute_before = {0, 0, 0}, minute_begin = {0, 0, 0}, minute_end = NEVER,
    }
  end
  buckets, names = state.buckets, state.names
  -- What the caller knows beforehand; learned numbers win over the catalog's.
  for _, limit in ipairs(config.limits) do
    local bucket = buckets[limit.kind .. '/' .. limit.window]
    if bucket == nil then
      add(limit.kind, limit.window, limit.capacity, limit.source)
    elseif limit.source == 'yours' and limit.capacity ~= bucket.most then
      bucket.source, bucket.most = 'yours', limit.capacity
      resize(bucket, limit.capacity)
    end
  end
end

local function save()
  local longest = 3600
  for _, name in ipairs(names) do
    longest = math.max(longest, WINDOW_S[buckets[name].window])
  end
  local live_ms = math.ceil((longest + math.max(0, state.open_at - now)) * 1000) + 60000
  redis.call('SET', STATE, cmsgpack.pack(state), 'PX', live_ms)
  for _, key in ipairs({LINE, TICKETS, HELD, UNDER_WAY}) do
    redis.call('PEXPIRE', key, live_ms)
  end
end

-- ------------------------------------------------------------------------ the line

local function read_ticket(ticket)
  local packed = redis.call('HGET', TICKETS, ticket)
  return packed and cmsgpack.unpack(packed)
end

local function write_ticket(ticket, data)
  redis.call('HSET', TICKETS, ticket, cmsgpack.pack(data))
end

local function start(ticket, data)
  redis.call('ZADD', UNDER_WAY, now + config.flight_s, ticket)
  write_ticket(ticket, data)
end

-- Forget the requests that never ended, and give back turns that nobody took.
local function expire()
  local late = redis.call('ZRANGEBYSCORE', UNDER_WAY, '-inf', now, 'LIMIT', 0, 100)
  for _, ticket in ipairs(late) do
    local data = read_ticket(ticket)
    if data then lose(data.need) end
    redis.call('ZREM', UNDER_WAY, ticket)
    redis.call('HDEL', TICKETS, ticket)
  end
  late = redis.call('ZRANGEBYSCORE', HELD, '-inf', now, 'LIMIT', 0, 100)
  for _, ticket in ipairs(late) do
    local data = read_ticket(ticket)
    if data then settle(data.need, {0, 0, 0}, data.at) end
    redis.call('ZREM', HELD, ticket)
    redis.call('HDEL', TICKETS, ticket)
  end
end

-- Let go everybody whose turn it is; returns their tickets.
local function advance()
  local let_go = {}
  for _ = 1, TURNS_A_STEP do
    local ticket = redis.call('ZRANGE', LINE, 0, 0)[1]
    if not ticket then break end
    local data = read_ticket(ticket)
    if not data or data.lease <= now then
      redis.call('ZREM', LINE, ticket)
      redis.call('HDEL', TICKETS, ticket)
    else
      local never = exceeded(data.need)
      if not never then
        if wait_for(data.need) > 0 then break end
        data.at = take(data.need)
        redis.call('ZADD', HELD, now + config.place_s, ticket)
        write_ticket(ticket, data)
      else
        redis.call('HDEL', TICKETS, ticket)
      end
      redis.call('ZREM', LINE, ticket)
      let_go[#let_go + 1] = ticket
    end
  end
  return let_go
end

local function never_fits(bucket)
  return {'never', bucket.kind, bucket.window, text(bucket.capacity)}
end

-- How long until the next look, where in the line, who could give something back.
local function waiting(ticket, data)
  local place = redis.call('ZRANK', LINE, ticket)
  local need = {data.need[1] + place, data.need[2], data.need[3]}
  return {
    'wait', text(wait_for(need)), text(place), text(state.under_way[1]),
    text(least_wait_for(data.need, 0)),
  }
end

local function read_need(from)
  return {tonumber(ARGV[from]), tonumber(ARGV[from + 1]), tonumber(ARGV[from + 2])}
end

local function enter(ticket, need, max_wait_s)
  local data = read_ticket(ticket)
  if data then -- asked a second time, since the first answer was lost
    if data.at then return {'go'} end
    return waiting(ticket, data)
  end
  local never = exceeded(need)
  if never then return never_fits(never) end
  if redis.call('ZCARD', LINE) == 0 and wait_for(need) <= 0 then
    start(ticket, {need = need, lease = 0, at = take(need)})
    return {'go'}
  end
  if max_wait_s then
    local least = least_wait_for(need, redis.call('ZCARD', LINE))
    if least > max_wait_s or max_wait_s <= 0 then return {'late', text(least)} end
  end
  data = {need = need, lease = now + config.place_s}
  state.place = state.place + 1
  redis.call('ZADD', LINE, state.place, ticket)
  write_ticket(ticket, data)
  return waiting(ticket, data)
end

local function look(ticket)
  local data = read_ticket(ticket)
  if not data then return {'lost'} end
  if data.at then
    if redis.call('ZREM', HELD, ticket) == 1 then
      data.at = claim(data.need, data.at)
      start(ticket, data)
    end
    return {'go'}
  end
  data.lease = now + config.place_s
  write_ticket(ticket, data)
  return waiting(ticket, data)
end

local function leave(ticket)
  local data = read_ticket(ticket)
  if not data then return end
  if data.at then settle(data.need, {0, 0, 0}, data.at) end
  for _, key in ipairs({LINE, HELD, UNDER_WAY}) do
    redis.call('ZREM', key, ticket)
  end
  redis.call('HDEL', TICKETS, ticket)
end

local function finish(ticket, used, readings, closure)
  local data = read_ticket(ticket)
  -- Ended before, or so late that it was forgotten.
  if not data or redis.call('ZREM', UNDER_WAY, ticket) == 0 then return end
  redis.call('HDEL', TICKETS, ticket)
  if used then
    settle(data.need, used, data.at)
  else
    lose(data.need)
  end
  if closure then close(closure, data.need) end
  if learns then
    for _, reading in ipairs(readings) do
      learn(reading, used or {0, 0, 0}, data.at)
    end
    grow()
  end
end

local function describe()
  local told = {}
  for place, name in ipairs(names) do
    local bucket = buckets[name]
    told[place] = {
      kind = bucket.kind, window = bucket.window, source = bucket.source,
      capacity = text(bucket.capacity), level = text(level_of(bucket)),
    }
  end
  local closed = {}
  for name, upto in pairs(state.closed) do
    if upto > now then closed[#closed + 1] = {name, text(upto - now)} end
  end
  return {
    'state',
    cjson.encode({
      buckets = told, closed = closed, waiting = redis.call('ZCARD', LINE),
      under_way = redis.call('ZCARD', UNDER_WAY) + redis.call('ZCARD', HELD),
    }),
  }
end

-- ------------------------------------------------------------------------ one step

load()
expire()
local answer = {'done'}
local let_go = {}
if operation == 'enter' then
  let_go = advance()
  answer = enter(ARGV[4], read_need(5), tonumber(ARGV[8]))
elseif operation == 'look' then
  -- First its own lease: it may be the head, and is alive.
  local data = read_ticket(ARGV[4])
  if data and not data.at then
    data.lease = now + config.place_s
    write_ticket(ARGV[4], data)
  end
  let_go = advance()
  answer = look(ARGV[4])
elseif operation == 'claim' then
  local data = read_ticket(ARGV[4])
  if data and data.at then
    data.at = claim(data.need, data.at)
    write_ticket(ARGV[4], data)
  end
  answer = {'go'}
elseif operation == 'leave' then
  leave(ARGV[4])
  let_go = advance()
elseif operation == 'finish' then
  local told = cjson.decode(ARGV[5])
  finish(ARGV[4], told.used, told.readings, told.closure)
  let_go = advance()
elseif operation == 'state' then
  answer = describe()
end
save()
return {answer, let_go}
