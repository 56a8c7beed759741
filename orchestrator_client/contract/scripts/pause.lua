-- needs: instances family
-- Wish that nothing of a run starts any more, nor of all that it has started, until `resume`. What runs goes on to its end.
-- KEYS 1 record (hash)
-- ARGV 1 ttl (s)  2 run  3 who
-- Reply: {state, wish, paused since (ms, or empty), by} as they were before · false: no such run
local ttl_s, run, who, now = tonumber(ARGV[1]), ARGV[2], ARGV[3], now_ms()
local before = redis.call('HMGET', KEYS[1], 'state', 'wish', 'paused_ms', 'paused_by')
if not before[1] then return false end

local function pause(each)
  local keys = keys_of(each)
  if redis.call('HGET', keys.record, 'wish') ~= 'run' then return end
  redis.call('HSET', keys.record, 'wish', 'pause', 'paused_ms', now, 'paused_by', who)
  event(keys.events, ttl_s, 'pause_requested', now, '', 0, cjson.encode({ by = who }))
  redis.call('ZADD', 'orc:timetable', now, each .. '|')
end

if is_open(before[1]) and before[2] == 'run' then
  audit(now, 'pause', run, who, '{}')
  pause(run)
  for_each_below(run, pause)
end
return { before[1], before[2], before[3] or '', before[4] or '' }
