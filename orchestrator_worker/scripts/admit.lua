-- needs: instances gates waiting budgets admission pausing keeping
-- Let calls of ready instances of one run through, or have them wait in Redis.
-- KEYS 1 orc:timetable (zset); the run's own keys and those of gates and budgets are named from the arguments
-- ARGV 1 ttl (s)  2 run  3 look again after (ms)  4… for each: instance, attempt, call (JSON, see admission.lua)
-- Reply: for each, in order: the queue to publish it to · 'wait' it is parked, or set aside while its run is paused · 'stale' it is not ready, or no such attempt
local ttl_s, run, now, reply = tonumber(ARGV[1]), ARGV[2], now_ms(), {}
local keys = keys_of(run)
for i = 4, #ARGV, 3 do
  local instance, attempt = ARGV[i], tonumber(ARGV[i + 1])
  local text = redis.call('HGET', keys.instances, instance)
  local open = text and parsed_instance(text)
  local before = redis.call('HGET', keys.calls, instance)
  if not open or open.state ~= 'ready' or open.attempt ~= attempt then
    reply[#reply + 1] = 'stale'
  elseif not may_start(run, instance) then
    set_aside(run, instance, open, now, ttl_s)
    reply[#reply + 1] = 'wait'
  elseif open.dead == '1' or kept_receipt(run, instance) then
    reply[#reply + 1] = open.queue
  elseif before then
    -- Admitted before, and its message may be lost: the reservation stands.
    local entry = cjson.decode(before)
    reply[#reply + 1] = entry.candidates[entry.pick].queue
  else
    local entry = cjson.decode(ARGV[i + 2])
    -- Who was called back by the weather goes to the head of its own run's line.
    entry.pick, entry.at = entry.pick or 1, now - (attempt > 1 and 3600000 or 0)
    local verdict = consider(run, instance, entry, now, ttl_s, false)
    redis.call('HSET', keys.calls, instance, cjson.encode(entry))
    keep(keys.calls, ttl_s)
    local call = entry.candidates[entry.pick]
    if verdict == 'go' then
      open.queue = call.queue
      put_instance(keys.instances, instance, open)
      reply[#reply + 1] = call.queue
    else
      open.state, open.queue = 'waiting', call.queue
      put_instance(keys.instances, instance, open)
      redis.call('ZADD', KEYS[1], now + ARGV[3], run .. '|' .. instance)
      tell_waiting(keys.events, instance, attempt, entry, now, ttl_s)
      reply[#reply + 1] = 'wait'
    end
  end
end
return reply
