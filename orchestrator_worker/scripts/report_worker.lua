-- A worker says that it lives, and what it is.
-- KEYS 1 orc:workers (zset)  2 the worker's own (string)
-- ARGV 1 name  2 what it is (JSON; empty: it ends)  3 its clock (ms since 1970)  4 life of the report (ms)
-- Reply: now (ms)
local now, life_ms = now_ms(), tonumber(ARGV[4])
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
  return now
end
redis.call('SET', KEYS[2], string.format('%.0f|%.0f|', now, ARGV[3] - now) .. ARGV[2], 'PX', life_ms)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - life_ms)
redis.call('PEXPIRE', KEYS[1], life_ms)
return now
