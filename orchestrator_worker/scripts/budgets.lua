-- Money, in billionths of a dollar. What is reserved and what is spent never pass the cap together.
-- orc:budget:<id>  hash: cap (if a person set one; it wins), spent, reserved. Its life is that of its period.
local SHARE = 8            -- a call gets at most this part of what remains for its reply, unless its reply needs more
local UNKNOWN_REPLY = 256  -- output tokens below which no reply is cut for money, while no reply of the model was seen
local LIKELY = 1.5         -- times the longest reply seen: what a call is granted at least

local function remaining_of(budgets)
  local free, cap_left, tightest = math.huge, math.huge, nil
  for _, budget in ipairs(budgets) do
    local set, spent, reserved = unpack(redis.call('HMGET', 'orc:budget:' .. budget.id, 'cap', 'spent', 'reserved'))
    local left = (tonumber(set) or budget.cap) - tonumber(spent or 0)
    if left - tonumber(reserved or 0) < free then free, tightest = left - tonumber(reserved or 0), budget end
    cap_left = math.min(cap_left, left)
  end
  return free, cap_left, tightest
end

-- Whether the budgets pay for a call: 'fits', money, output tokens granted · 'later', once others have ended · 'never'.
local function affords(budgets, call, gate)
  if #budgets == 0 then return 'fits', 0, nil end
  local free, cap_left, tightest = remaining_of(budgets)
  if not call.usd then return 'never', 0, nil, tightest, 'no price is known for ' .. call.model end
  local input = call.most
  if gate.worst > 0 then input = math.min(input, math.ceil(call.input * gate.worst * 1.1)) end
  local prompt, rate, full = input * call.usd.input, call.usd.output, call.longest
  local least = math.min(full, gate.longest > 0 and math.ceil(gate.longest * LIKELY) or UNKNOWN_REPLY)
  if prompt + least * rate > free then
    local later = prompt + least * rate <= cap_left
    return later and 'later' or 'never', 0, nil, tightest, 'the call may cost ' .. (prompt + least * rate) / 1e9 .. ' USD'
  end
  local granted = full
  if rate > 0 then
    local generous = math.floor((free / SHARE - prompt) / rate)
    granted = math.min(full, math.max(least, generous), math.floor((free - prompt) / rate))
  end
  return 'fits', math.ceil(prompt + granted * rate), granted
end

local function reserve_money(budgets, amount, ttl_s)
  for _, budget in ipairs(budgets) do
    local key = 'orc:budget:' .. budget.id
    redis.call('HINCRBY', key, 'reserved', amount)
    redis.call('EXPIRE', key, budget.ttl_s or ttl_s)
  end
end

-- Calls that wait for money of a budget are looked at again, as many as one refund is likely to pay for.
local function wake_short(id, most, ttl_s)
  local short = 'orc:short:' .. id
  for _, member in ipairs(redis.call('ZRANGE', short, 0, most - 1)) do
    redis.call('ZREM', short, member)
    look_once_more(member, ttl_s)
  end
end

local function settle_money(budgets, reserved, spent, ttl_s)
  for _, budget in ipairs(budgets) do
    local key = 'orc:budget:' .. budget.id
    redis.call('HINCRBY', key, 'reserved', -reserved)
    redis.call('HINCRBY', key, 'spent', spent)
    redis.call('EXPIRE', key, budget.ttl_s or ttl_s)
    wake_short(budget.id, 4, ttl_s)
  end
end
