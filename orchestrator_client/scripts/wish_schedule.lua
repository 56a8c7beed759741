-- Pause a schedule, let it go on, or remove it.
-- KEYS 1 the schedule (hash)  2 orc:schedules (zset)
-- ARGV 1 ttl (s)  2 name  3 the wish ('pause', 'resume' or 'rm')  4 of one that goes on: when it is due (ms)  5 who
-- Reply: 1 done · 0 it was so before · -1 no such schedule
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local wish, paused = ARGV[3], redis.call('HEXISTS', KEYS[1], 'paused_by') == 1
if (wish == 'pause' and paused) or (wish == 'resume' and not paused) then return 0 end
if wish == 'resume' then
  redis.call('HDEL', KEYS[1], 'paused_by')
  redis.call('HSET', KEYS[1], 'next_ms', ARGV[4])
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[2], '+inf', ARGV[2])
  redis.call('HSET', KEYS[1], 'paused_by', ARGV[5])
  redis.call('HDEL', KEYS[1], 'next_ms')
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
if wish == 'rm' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[2])
end
audit(now_ms(), wish .. ' schedule', '', ARGV[5], cjson.encode({ name = ARGV[2] }))
return 1
