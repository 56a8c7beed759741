-- Record a schedule.
-- KEYS 1 the schedule (hash)  2 orc:schedules (zset)
-- ARGV 1 ttl (s)  2 name  3 what it is (JSON)  4 plan (zlib)  5 inputs (JSON)  6 when it is due (ms)  7 in the place of one of
--      the same name (1, or empty)  8 who
-- Reply: 1 recorded · 0 there is one of the name
if ARGV[7] == '' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = now_ms()
redis.call('HSET', KEYS[1], 'data', ARGV[3], 'plan', ARGV[4], 'inputs', ARGV[5], 'next_ms', ARGV[6], 'created_ms', now)
redis.call('HDEL', KEYS[1], 'paused_by')
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[1])
audit(now, 'schedule', '', ARGV[8], cjson.encode({ name = ARGV[2] }))
return 1
