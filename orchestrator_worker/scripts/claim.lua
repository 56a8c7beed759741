-- Let one attempt of one instance start, and hand it the values that it reads.
-- KEYS 1 record (hash)  2 instances (hash)  3 values (hash)  4 receipts (hash)  5 events (stream)  6 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 lease (ms)  6 claim token  7 event data (JSON)  8… instances to read
-- Reply: {'go', now (ms), dead (0|1), value | false, …} · {'settled'} it has its receipt already
--      · {'cancelled'} the run is halted, and the instance was given that receipt now · {'refused'} not this attempt, not now
local ttl_s, run, instance, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local open = redis.call('HGET', KEYS[2], instance)
if not open then
  return { redis.call('HEXISTS', KEYS[4], instance) == 1 and 'settled' or 'refused' }
end
local state, current, since, dead, queue, token = open:match('^(%a+)|(%d+)|(%d+)|(%d)|([^|]*)|?(.*)$')
-- The same claim once more: its reply was lost on the way.
local again = state == 'running' and token == ARGV[6]
if current ~= attempt or not (state == 'ready' or again) then return { 'refused' } end

local now = now_ms()
local member = run .. '|' .. instance
local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if not wish then return { 'refused' } end
if wish == 'cancel' or halt ~= '' then
  local reason = wish == 'cancel' and 'the run was cancelled' or 'the run had failed at ' .. halt
  local data = cjson.encode({ outcome = 'cancelled', attempt = tonumber(attempt), reason = reason })
  redis.call('HSET', KEYS[4], instance, string.format('%.0f ', now) .. data)
  keep(KEYS[4], ttl_s)
  redis.call('HDEL', KEYS[2], instance)
  redis.call('ZREM', KEYS[6], member)
  event(KEYS[5], ttl_s, 'step_cancelled', now, instance, attempt, cjson.encode({ reason = reason }))
  if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 then redis.call('ZADD', KEYS[6], now + 2000, run .. '|') end
  return { 'cancelled' }
end

redis.call('HSET', KEYS[2], instance,
  table.concat({ 'running', attempt, string.format('%.0f', now), dead, queue, ARGV[6] }, '|'))
redis.call('ZADD', KEYS[6], now + ARGV[5], member)
if not again then event(KEYS[5], ttl_s, 'step_started', now, instance, attempt, ARGV[7]) end

local reply = { 'go', now, tonumber(dead) }
if #ARGV > 7 then
  -- unpack() has a limit of a few thousand arguments.
  for first = 8, #ARGV, 1000 do
    local values = redis.call('HMGET', KEYS[3], unpack(ARGV, first, math.min(first + 999, #ARGV)))
    for _, value in ipairs(values) do reply[#reply + 1] = value end
  end
end
return reply
