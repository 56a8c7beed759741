-- needs: instances family progress delivery
-- Open a run's chord: its entry steps become ready.
-- KEYS 1 record (hash)  2 instances (hash)  3 events (stream)  4 orc:timetable (zset)  5 the chord's size (string)
--      6 work (hash)
-- ARGV 1 ttl (s)  2 run  3 look again after (ms)  4 what it is expected to take (JSON: work_ms, run_ms, work)
--      5… instance, queue, …
-- Reply: {'started'} · {'paused'} it starts when it is resumed · {'cancelled'} before it began
--      · {'cancelled', parent, its instance, attempt} that one is ready now
--      · {the run's state} if it was started before · false: no such run
local ttl_s, run = ARGV[1], ARGV[2]
local state, wish, parent, starter = unpack(redis.call('HMGET', KEYS[1], 'state', 'wish', 'parent', 'parent_instance'))
if not state then return false end
if state ~= 'submitted' then return { state } end

local now = now_ms()
if wish == 'cancel' then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'ended_ms', now)
  count('runs|cancelled', 1)
  tell_end(run, now, ttl_s)
  event(KEYS[3], ttl_s, 'run_closed', now, '', 0, '{"state":"cancelled"}')
  redis.call('ZREM', KEYS[4], run .. '|')
  local attempt = call_parent(run, parent, starter, now, ARGV[3])
  return attempt and { 'cancelled', parent, starter, attempt } or { 'cancelled' }
end

if wish == 'pause' then return { 'paused' } end

local entries = (#ARGV - 4) / 2
redis.call('HSET', KEYS[1], 'state', 'running', 'started_ms', now, 'open', entries)
redis.call('SET', KEYS[5], entries, 'EX', ttl_s)
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], 'ready|1|' .. string.format('%.0f', now) .. '|0|0|' .. ARGV[i + 1] .. '|')
  redis.call('ZADD', KEYS[4], now + ARGV[3], run .. '|' .. ARGV[i])
end
keep(KEYS[2], ttl_s)
local expected = cjson.decode(ARGV[4])
for path, amount in pairs(expected.work) do redis.call('HSET', KEYS[6], path, string.format('%.1f', amount)) end
redis.call('EXPIRE', KEYS[6], ttl_s)
redis.call('HSET', KEYS[1], 'work_ms', string.format('%.1f', expected.work_ms))
if expected.run_ms ~= cjson.null then redis.call('HSET', KEYS[1], 'expected_ms', string.format('%.0f', expected.run_ms)) end
local progress = put_progress(KEYS[1], 0, expected.work_ms, now)
event(KEYS[3], ttl_s, 'run_started', now, '', 0, '{' .. progress .. '}')
return { 'started' }
