-- needs: instances gates waiting budgets admission pausing keeping
-- Let one attempt of one instance start, and hand it the values that it reads.
-- KEYS 1 record (hash)  2 instances (hash)  3 values (hash)  4 receipts (hash)  5 events (stream)  6 orc:timetable (zset)
--      7 calls (hash)  8 memos (hash)  9 arrivals (hash)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 lease (ms)  6 claim token  7 event data (JSON)  8 look again after (ms)
--      9 number of memos to read  10… instances whose memos to read, then instances whose values to read
-- Reply: {'go', now (ms), dead (0|1), excused, call | false, memo | false, deltas wanted | false, scopes of it that have
--      ended | false, instances in them that failed | false, versions of variables that were set in the run | false,
--      ms for which the run was paused | false, ms since it was ready, receipt that it keeps (JSON) | false, value of that | false,
--      memo | false, …, value | false, …}
--      · {'settled'} it has its receipt already · {'cancelled'} the run is halted, and the instance was given that receipt now
--      · {'parked'} its provider's gate has closed since, or its run is paused · {'refused'} not this attempt, not now
local ttl_s, run, instance, attempt = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local text = redis.call('HGET', KEYS[2], instance)
if not text then
  return { redis.call('HEXISTS', KEYS[4], instance) == 1 and 'settled' or 'refused' }
end
local open = parsed_instance(text)
-- The same claim once more: its reply was lost on the way.
local again = open.state == 'running' and open.token == ARGV[6]
if open.attempt ~= tonumber(attempt) or not (open.state == 'ready' or again) then return { 'refused' } end

local now = now_ms()
local member = run .. '|' .. instance
local wish, halt, deltas, set, pauses_ms = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt', 'deltas', 'variables', 'pauses_ms'))
if not wish then return { 'refused' } end
if wish == 'cancel' or halt ~= '' then
  local reason = wish == 'cancel' and 'the run was cancelled' or 'the run had failed at ' .. halt
  local data = cjson.encode({ outcome = 'cancelled', attempt = tonumber(attempt), reason = reason })
  redis.call('HSET', KEYS[4], instance, string.format('%.0f ', now) .. data)
  keep(KEYS[4], ttl_s)
  redis.call('HDEL', KEYS[2], instance)
  redis.call('ZREM', KEYS[6], member)
  leave(run, instance, '{"sent":false,"kind":"cancelled"}', now, ttl_s)
  count('steps|' .. open.queue .. '|cancelled', 1)
  event(KEYS[5], ttl_s, 'step_cancelled', now, instance, attempt, cjson.encode({ reason = reason }))
  if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 then redis.call('ZADD', KEYS[6], now + tonumber(ARGV[8]), run .. '|') end
  return { 'cancelled' }
end

if wish == 'pause' and not again and not may_start(run, instance) then
  set_aside(run, instance, open, now, ttl_s)
  return { 'parked' }
end
local call = redis.call('HGET', KEYS[7], instance)
if call and not again and stays_out(run, instance, call, open, now, ttl_s, tonumber(ARGV[8])) then return { 'parked' } end

local waited_ms = again and 0 or now - open.since
open.state, open.since, open.token = 'running', now, ARGV[6]
put_instance(KEYS[2], instance, open)
redis.call('ZADD', KEYS[6], now + ARGV[5], member)
if not again then event(KEYS[5], ttl_s, 'step_started', now, instance, attempt, ARGV[7]) end

local reply = { 'go', now, tonumber(open.dead), open.excused, call, redis.call('HGET', KEYS[8], instance), deltas }
local ended, failed = unpack(redis.call('HMGET', KEYS[9], instance .. '~', instance .. '~!'))
reply[#reply + 1], reply[#reply + 2], reply[#reply + 3], reply[#reply + 4] = ended, failed, set, pauses_ms
reply[#reply + 1] = waited_ms
local kept = kept_receipt(run, instance) or false
reply[#reply + 1], reply[#reply + 2] = kept, kept and redis.call('HGET', keys_of(run).kept_values, instance)
local function read(key, first, last)
  -- unpack() has a limit of a few thousand arguments.
  for from = first, last, 1000 do
    for _, found in ipairs(redis.call('HMGET', key, unpack(ARGV, from, math.min(from + 999, last)))) do
      reply[#reply + 1] = found
    end
  end
end
local memos = tonumber(ARGV[9])
read(KEYS[8], 10, 9 + memos)
read(KEYS[3], 10 + memos, #ARGV)
return reply
