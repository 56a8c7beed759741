-- Record how an attempt to tell a run's end has ended.
-- KEYS 1 record (hash)  2 orc:deliveries (zset)
-- ARGV 1 run  2 attempt  3 error (empty: it was told)  4 wait until the next attempt (ms; -1: there is none)
-- Reply: 'delivered' · 'waiting' · 'dead' · 'refused' another attempt was made since, or the run is gone
local attempts, delivery = unpack(redis.call('HMGET', KEYS[1], 'delivery_attempts', 'delivery'))
if attempts ~= ARGV[2] or delivery ~= 'waiting' then return 'refused' end
local now, wait_ms = now_ms(), tonumber(ARGV[4])
local became = ARGV[3] == '' and 'delivered' or wait_ms < 0 and 'dead' or 'waiting'
redis.call('HSET', KEYS[1], 'delivery', became, 'delivery_error', ARGV[3], 'delivery_ms', now)
if became == 'waiting' then redis.call('ZADD', KEYS[2], now + wait_ms, ARGV[1]) else redis.call('ZREM', KEYS[2], ARGV[1]) end
return became
