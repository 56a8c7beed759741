-- needs: instances
-- Take ends of runs that are to be told now. Whoever takes one and dies has it taken again, once its time is over.
-- KEYS 1 orc:deliveries (zset)
-- ARGV 1 ttl (s)  2 time to tell it (ms)  3 at most
-- Reply: for each: run, attempt, webhook (JSON)
local now, reply = now_ms(), {}
for _, run in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
  local record = keys_of(run).record
  local webhook, delivery = unpack(redis.call('HMGET', record, 'webhook', 'delivery'))
  if webhook and delivery == 'waiting' then
    redis.call('ZADD', KEYS[1], now + ARGV[2], run)
    reply[#reply + 1] = run
    reply[#reply + 1] = redis.call('HINCRBY', record, 'delivery_attempts', 1)
    reply[#reply + 1] = webhook
  else
    redis.call('ZREM', KEYS[1], run)
  end
end
if #reply > 0 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return reply
