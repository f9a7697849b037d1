-- Does things to the accounts of one budget, all at once: `_account.py` again.
--
-- KEYS  accounts (hash: id -> JSON), kept (sorted: id by when it may go),
--       holds (hash: reservation -> JSON), leases (sorted: reservation by its end)
-- ARGV  now in ms, what becomes of reservations whose end never comes, how long those
--       are remembered in ms, how long the keys live unused in ms (0: for ever), and
--       what to do as JSON: a list
-- Gives JSON: a list of answers, in the same order.
--
-- Money is in whole numbers of 1e-12 USD. A number in Lua is exact up to 2^53, which is
-- 9007 USD, so amounts travel as texts and are added in two halves.

local ACCOUNTS, KEPT, HOLDS, LEASES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = tonumber(ARGV[1])
local lost_as = ARGV[2]
local gone_ms = tonumber(ARGV[3])
local live_ms = tonumber(ARGV[4])
local HALF = 1000000000
local SOME = 200

-- ------------------------------------------------------------------------- amounts

local function read(digits)
  local long = #digits
  if long <= 9 then return {0, tonumber(digits)} end
  return {tonumber(digits:sub(1, long - 9)), tonumber(digits:sub(long - 8))}
end

local function write(amount)
  if amount[1] == 0 then return string.format('%.0f', amount[2]) end
  return string.format('%.0f%09.0f', amount[1], amount[2])
end

local function less(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[2] < b[2]
end

local function add(a, b)
  local low = a[2] + b[2]
  if low >= HALF then return {a[1] + b[1] + 1, low - HALF} end
  return {a[1] + b[1], low}
end

local function take(a, b)
  if less(a, b) then return {0, 0} end
  local low = a[2] - b[2]
  if low < 0 then return {a[1] - b[1] - 1, low + HALF} end
  return {a[1] - b[1], low}
end

local function is_zero(a) return a[1] == 0 and a[2] == 0 end

-- ------------------------------------------------------------------------ accounts

local AMOUNTS = {'limit', 'spent', 'reserved', 'assumed'}
local open, changed = {}, {}

local function account_of(id)
  if open[id] == nil then
    local kept = redis.call('HGET', ACCOUNTS, id)
    if not kept then return nil end
    local account = cjson.decode(kept)
    for _, name in ipairs(AMOUNTS) do account[name] = read(account[name]) end
    open[id] = account
  end
  return open[id]
end

local function packed(account)
  local copy = {}
  for name, value in pairs(account) do copy[name] = value end
  for _, name in ipairs(AMOUNTS) do copy[name] = write(account[name]) end
  return copy
end

local function payer_of(told)
  local account = account_of(told.id)
  if account == nil then
    account = {
      id = told.id, start = told.start, ['end'] = told['end'], calls = 0,
      unpriced = 0, told = {}, marks = {},
      spent = {0, 0}, reserved = {0, 0}, assumed = {0, 0},
    }
    open[told.id] = account
  end
  account.limit = read(told.limit)
  for share, mark in pairs(told.marks) do account.marks[share] = mark end
  if told.kept then
    local before = tonumber(redis.call('ZSCORE', KEPT, told.id) or '0')
    if told.kept > before then redis.call('ZADD', KEPT, told.kept, told.id) end
  end
  changed[told.id] = true
  return account
end

-- A call whose cost is not known counts with what it had reserved, and may be uncounted.
local function count(account, calls, amount, known)
  account.calls = account.calls + calls
  if not known then
    account.unpriced = account.unpriced + calls
  elseif calls > 0 then
    account.spent = add(account.spent, amount)
    account.assumed = add(account.assumed, amount)
  else
    account.spent = take(account.spent, amount)
    account.assumed = take(account.assumed, amount)
  end
end

local function ended(account, hold, how)
  local amount = read(hold.amount)
  if not hold.lost then
    account.reserved = take(account.reserved, amount)
  elseif hold.lost == 'spent' then
    count(account, -1, amount, hold.known)
  end
  if how == 'unknown' then
    count(account, 1, amount, hold.known)
  elseif how ~= 'released' then
    account.calls = account.calls + 1
    account.spent = add(account.spent, read(how))
  end
end

-- The thresholds that the account has reached and nobody was called for yet.
local function note(account, shares, short, news)
  for _, share in ipairs(shares) do
    local mark = account.marks[share]
    if mark and not account.told[share] then
      local reached = not is_zero(account.spent)
        and not less(account.spent, read(mark))
      if reached or (short and share == '1000000000000') then
        account.told[share] = true
        changed[account.id] = true
        news[#news + 1] = {packed(account), share}
      end
    end
  end
end

-- ------------------------------------------------------------------ what was left

local function lose(name, hold)
  for _, id in ipairs(hold.payers) do
    local account = account_of(id)
    if account then
      local amount = read(hold.amount)
      account.reserved = take(account.reserved, amount)
      if lost_as == 'spent' then count(account, 1, amount, hold.known) end
      changed[id] = true
    end
  end
  hold.lost = lost_as
  redis.call('HSET', HOLDS, name, cjson.encode(hold))
  redis.call('ZADD', LEASES, now + gone_ms, name)
end

local function sweep()
  repeat
    local over = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, SOME)
    for _, name in ipairs(over) do
      local kept = redis.call('HGET', HOLDS, name)
      local hold = kept and cjson.decode(kept)
      if hold and not hold.lost then
        lose(name, hold)
      else
        redis.call('HDEL', HOLDS, name)
        redis.call('ZREM', LEASES, name)
      end
    end
  until #over < SOME
  local over = redis.call('ZRANGEBYSCORE', KEPT, '-inf', now, 'LIMIT', 0, SOME)
  for _, id in ipairs(over) do
    redis.call('HDEL', ACCOUNTS, id)
    redis.call('ZREM', KEPT, id)
    open[id], changed[id] = nil, nil
  end
end

-- ----------------------------------------------------------------------- what to do

local DO = {}

local function lacks(account, amount, known)
  local used = add(account.spent, account.reserved)
  if not known then return not less(used, account.limit) end
  return not is_zero(amount) and less(account.limit, add(used, amount))
end

function DO.reserve(op)
  local news = {}
  if redis.call('HEXISTS', HOLDS, op.hold) == 1 then
    return {passed = true, news = news}
  end
  local amount, payers, ids, shorts = read(op.amount), {}, {}, {}
  for at, told in ipairs(op.payers) do
    payers[at], ids[at] = payer_of(told), told.id
  end
  for _, account in ipairs(payers) do
    if lacks(account, amount, op.known) then
      shorts[#shorts + 1] = packed(account)
      note(account, op.shares, true, news)
    end
  end
  if #shorts > 0 and not op.force then
    return {passed = false, shorts = shorts, news = news}
  end
  for _, account in ipairs(payers) do
    account.reserved = add(account.reserved, amount)
  end
  local hold = {amount = op.amount, known = op.known, payers = ids}
  redis.call('HSET', HOLDS, op.hold, cjson.encode(hold))
  redis.call('ZADD', LEASES, op['until'], op.hold)
  return {passed = true, shorts = shorts, news = news}
end

function DO.finish(op)
  local news = {}
  local kept = redis.call('HGET', HOLDS, op.hold)
  if kept then
    local hold = cjson.decode(kept)
    for _, id in ipairs(hold.payers) do
      local account = account_of(id)
      if account then
        ended(account, hold, op['end'])
        changed[id] = true
        if op['end'] ~= 'released' then note(account, op.shares, false, news) end
      end
    end
    redis.call('HDEL', HOLDS, op.hold)
    redis.call('ZREM', LEASES, op.hold)
  end
  return {passed = true, news = news}
end

function DO.spend(op)
  local news = {}
  for _, told in ipairs(op.payers) do
    local account = payer_of(told)
    account.reserved = add(account.reserved, read(op.amount))
    ended(account, op, op['end'])
    note(account, op.shares, false, news)
  end
  return {passed = true, news = news}
end

local function save()
  for id in pairs(changed) do
    redis.call('HSET', ACCOUNTS, id, cjson.encode(packed(open[id])))
  end
  changed = {}
end

function DO.look()
  save()
  return {passed = true, accounts = redis.call('HVALS', ACCOUNTS)}
end

sweep()
local answers = {}
for at, op in ipairs(cjson.decode(ARGV[5])) do answers[at] = DO[op.op](op) end
save()
if live_ms > 0 then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, live_ms) end
end
return cjson.encode(answers)
