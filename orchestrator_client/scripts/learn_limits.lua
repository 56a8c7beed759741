-- Forget the limits of a scope that were set, told and learned, and its weather.
-- What files say stays, and so does what went out: calls in flight, and those of this minute.
-- KEYS 1 the scope's gate (hash; `state`: JSON, see gates.lua; `config`: JSON of limits; `set` is removed)  2 orc:agenda (zset)
-- ARGV 1 ttl (s)  2 scope  3 calls at a time to begin with  4 who
--      5 what the audit log says of it (JSON)
-- Reply: 1 · 0 nothing is known of the scope
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ttl_s, scope, now = tonumber(ARGV[1]), ARGV[2], now_ms()
redis.call('HDEL', KEYS[1], 'set')
local text, config = unpack(redis.call('HMGET', KEYS[1], 'state', 'config'))
if text then
  local state, configured, level = cjson.decode(text), cjson.decode(config or '{}'), {}
  for dimension, left in pairs(state.level) do
    -- What calls have overdrawn stays owed where a limit is left; where none is, nothing would ever raise it again.
    if configured[dimension] then level[dimension] = math.min(0, left) end
  end
  state.level, state.told, state.bucket, state.rate, state.learned, state.seen = level, {}, {}, nil, nil, nil
  state.window = tonumber(ARGV[3])
  state.closed_until, state.closed_for, state.probe, state.storms, state.bad, state.circuit = 0, '', '', 0, 0, nil
  redis.call('HSET', KEYS[1], 'state', cjson.encode(state))
end
redis.call('EXPIRE', KEYS[1], ttl_s)
redis.call('ZADD', KEYS[2], now, scope)
redis.call('EXPIRE', KEYS[2], ttl_s)
redis.call('PUBLISH', 'orc:wake', scope)
audit(now, 'limits', '', ARGV[4], ARGV[5])
return 1
