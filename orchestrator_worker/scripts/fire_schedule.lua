-- needs: instances submit()
-- Record the run of a schedule that is due, and when the schedule is due next: at once, so that it is fired once.
-- KEYS 1 orc:schedules (zset)
-- ARGV 1 ttl of schedules (s)  2 name  3 when it was due (ms)  4 when it is due next (ms)  5 overlap (skip, queue, allow)
--      6 look again after (ms)  7 run  8 number of keys of submit.lua  9… these, then its arguments
-- Reply: 'fired' · 'skipped' its last run has not ended · 'waits' for that · 'refused' it is not due (any more)
local key, now = 'orc:schedule:' .. ARGV[2], now_ms()
local due, last = unpack(redis.call('HMGET', key, 'next_ms', 'last_run'))
if due ~= ARGV[3] or tonumber(due) > now then return 'refused' end
redis.call('EXPIRE', key, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[1])

local state = last and redis.call('HGET', keys_of(last).record, 'state')
local overlaps = state == 'submitted' or state == 'running'
if overlaps and ARGV[5] == 'queue' then
  redis.call('ZADD', KEYS[1], now + ARGV[6], ARGV[2])
  return 'waits'
end
redis.call('HSET', key, 'next_ms', ARGV[4])
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2])
if overlaps and ARGV[5] == 'skip' then
  redis.call('HINCRBY', key, 'skipped', 1)
  return 'skipped'
end
local keys, args = {}, {}
for i = 9, #ARGV do
  if i < 9 + ARGV[8] then keys[#keys + 1] = ARGV[i] else args[#args + 1] = ARGV[i] end
end
submit(keys, args)
redis.call('HSET', key, 'last_ms', due, 'last_run', ARGV[7])
redis.call('HINCRBY', key, 'fired', 1)
return 'fired'
