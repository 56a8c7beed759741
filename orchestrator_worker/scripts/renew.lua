-- Renew the leases of the attempts that one worker holds.
-- KEYS 1 orc:timetable (zset); each run's record and instances are named from the arguments
-- ARGV 1 lease (ms)  2… run, instance, attempt, …
-- Reply: for each, in order: 'held' · 'cancel' held, and its run is to be cancelled · 'lost' another attempt took over
local now = now_ms()
local reply = {}
for i = 2, #ARGV, 3 do
  local run, instance, attempt = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = 'orc:{' .. run .. '}'
  -- What is garbage of one run must not cost the others their leases.
  local open = redis.pcall('HGET', key .. ':instances', instance)
  if type(open) == 'table' then open = nil end
  local state, current = (open or ''):match('^(%a+)|(%d+)|')
  if held(state) and current == attempt then
    redis.call('ZADD', KEYS[1], now + ARGV[1], run .. '|' .. instance)
    if state == 'late' then redis.call('HSET', key .. ':instances', instance, (open:gsub('^late', 'running'))) end
    reply[#reply + 1] = redis.call('HGET', key, 'wish') == 'cancel' and 'cancel' or 'held'
  else
    reply[#reply + 1] = 'lost'
  end
end
return reply
