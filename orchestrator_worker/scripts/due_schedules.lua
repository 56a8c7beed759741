-- The schedules that are due, for one worker of those that ask at about the same time.
-- KEYS 1 orc:schedules (zset)  2 orc:watcher (string: somebody has just looked)
-- ARGV 1 only if nobody looked for (ms)
-- Reply: now (ms), then for each: name, when it was due (ms), what it is (JSON), plan (zlib), inputs (JSON), when it was made (ms)
local now = now_ms()
if tonumber(ARGV[1]) > 0 and not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) then return { now } end
local reply = { now }
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 20)) do
  local next_ms, data, plan, inputs, created = unpack(
    redis.call('HMGET', 'orc:schedule:' .. name, 'next_ms', 'data', 'plan', 'inputs', 'created_ms'))
  if next_ms then
    for _, field in ipairs({ name, next_ms, data, plan, inputs, created }) do reply[#reply + 1] = field end
  else
    redis.call('ZREM', KEYS[1], name)
  end
end
return reply
