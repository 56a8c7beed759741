-- End an attempt without an outcome: the instance waits, and comes back as its next attempt.
-- KEYS 1 record (hash)  2 instances (hash)  3 events (stream)  4 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 wait (ms)  6 event data (JSON)
-- Reply: 'parked' · 'halted' the run takes no more attempts; settle it · 'refused' not this attempt's to say
local ttl_s, run, instance, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local open = redis.call('HGET', KEYS[2], instance)
if not open then return 'refused' end
local state, current, since, dead, queue = open:match('^(%a+)|(%d+)|(%d+)|(%d)|([^|]*)')
if not held(state) or current ~= attempt then return 'refused' end
local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if wish == 'cancel' or halt ~= '' then return 'halted' end

local now = now_ms()
local next_attempt = string.format('%d', attempt + 1)
redis.call('HSET', KEYS[2], instance,
  table.concat({ 'parked', next_attempt, string.format('%.0f', now), dead, queue }, '|'))
redis.call('ZADD', KEYS[4], now + ARGV[5], run .. '|' .. instance)
event(KEYS[3], ttl_s, 'step_parked', now, instance, attempt, ARGV[6])
return 'parked'
