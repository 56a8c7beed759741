-- Put a person's limits over all others, and look at the gate anew.
-- KEYS 1 the scope's gate (hash; `set`: JSON {dimension: limit a minute, in_flight: calls}; `state`: JSON, see gates.lua)
--      2 orc:scopes (set)  3 orc:agenda (zset)
-- ARGV 1 ttl (s)  2 scope  3 who  4 what the audit log says of it (JSON)  5… dimension, limit (0 takes it away), …
-- Reply: 1
local ttl_s, scope, now = tonumber(ARGV[1]), ARGV[2], now_ms()
local set = cjson.decode(redis.call('HGET', KEYS[1], 'set') or '{}')
local text = redis.call('HGET', KEYS[1], 'state')
local state = text and cjson.decode(text)
for i = 5, #ARGV, 2 do
  local limit = tonumber(ARGV[i + 1])
  set[ARGV[i]] = limit > 0 and limit or nil
  -- A level that no limit refills would only fall; where one is left, it starts from there.
  if limit == 0 and state then state.level[ARGV[i]] = nil end
end
redis.call('HSET', KEYS[1], 'set', cjson.encode(set))
if state then redis.call('HSET', KEYS[1], 'state', cjson.encode(state)) end
redis.call('EXPIRE', KEYS[1], ttl_s)
redis.call('SADD', KEYS[2], scope)
redis.call('EXPIRE', KEYS[2], ttl_s)
redis.call('ZADD', KEYS[3], now, scope)
redis.call('EXPIRE', KEYS[3], ttl_s)
redis.call('PUBLISH', 'orc:wake', scope)
audit(now, 'limits', '', ARGV[3], ARGV[4])
return 1
