-- Stands in front of every script: the time, the lives of keys, the one way to write an event or an act.
-- orc:clock   string, ms since 1970: set by tests only; otherwise the time is Redis's own.
-- orc:totals  hash: `runs|<state>`, `steps|<queue>|<outcome>`, `model|<model>|<what>`, `lost` -> how many there were ever.

local function now_ms()
  local set = redis.call('GET', 'orc:clock')
  if set then return tonumber(set) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Give a key its life if it has none yet: no key of ours is without a TTL.
local function keep(key, ttl_s)
  if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ttl_s) end
end

local function count(field, amount)
  -- Its life is renewed now and then: with every new field, and every thousandth time.
  local sum = redis.call('HINCRBY', 'orc:totals', field, amount)
  if sum % 1000 < amount or sum == amount then redis.call('EXPIRE', 'orc:totals', 400 * 86400) end
end

-- Whether an attempt holds its instance: its lease runs, or ran out a moment ago.
local function held(state) return state == 'running' or state == 'late' end

local function event(stream, ttl_s, kind, at, instance, attempt, data)
  redis.call('XADD', stream, 'MAXLEN', '~', 100000, '*',
    'kind', kind, 'at', at, 'instance', instance, 'attempt', attempt, 'data', data)
  keep(stream, ttl_s)
end

-- Write down who has done what, beside doing it. `data` is a JSON object; an act that nobody asked for has no `who`.
-- orc:audit  stream, about 100,000 entries of 400 days: at (ms), act, run (empty: the fleet), who, data
local AUDIT_S = 400 * 86400
local function audit(now, act, run, who, data)
  if who == '' then return end
  redis.call('XADD', 'orc:audit', 'MAXLEN', '~', 100000, '*', 'at', now, 'act', act, 'run', run, 'who', who, 'data', data)
  redis.call('EXPIRE', 'orc:audit', AUDIT_S)
end

