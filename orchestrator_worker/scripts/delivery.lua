-- Telling a webhook that a run has ended: it waits here until it is told, and holds no worker.
-- orc:deliveries  zset: runs whose end is to be told, by when it is tried (ms). The run's record has `webhook` (JSON),
--   `delivery` (waiting, delivered, dead), `delivery_attempts`, `delivery_error` and `delivery_ms`.

local function tell_end(run, now, ttl_s)
  local record = keys_of(run).record
  local webhook = redis.call('HGET', record, 'webhook')
  if not webhook or webhook == '' then return end
  redis.call('HSET', record, 'delivery', 'waiting', 'delivery_attempts', 0)
  redis.call('ZADD', 'orc:deliveries', now, run)
  redis.call('EXPIRE', 'orc:deliveries', ttl_s)
end
