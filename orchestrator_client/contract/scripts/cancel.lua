-- needs: instances family
-- Wish a run's end, and that of all that it has started. After this reply no step of them starts.
-- KEYS 1 record (hash)  2 events (stream)  3 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 who (empty: no person)
-- Reply: the run's state (an ended run stays as it is) · false: no such run
local state, wish = unpack(redis.call('HMGET', KEYS[1], 'state', 'wish'))
if (state == 'submitted' or state == 'running') and wish ~= 'cancel' then
  local now = now_ms()
  redis.call('HSET', KEYS[1], 'wish', 'cancel')
  event(KEYS[2], ARGV[1], 'cancel_requested', now, '', 0, '{}')
  audit(now, 'cancel', ARGV[2], ARGV[3], '{}')
  redis.call('ZADD', KEYS[3], now, ARGV[2] .. '|')
  cancel_children(ARGV[2], now, ARGV[1])
end
return state
