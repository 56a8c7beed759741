-- needs: instances family progress pace delivery
-- End a run, once, when nothing of it is open, learn from it what such runs take, and call the step back that waits for it.
-- KEYS 1 record (hash)  2 events (stream)  3 orc:timetable (zset)  4 work (hash)  5 orc:pace:<pipeline> (hash)
-- ARGV 1 ttl (s)  2 run  3 state  4 outputs (JSON)  5 error (JSON, or empty)  6 event data (JSON)  7 look again after (ms)
--      8 life of what was learned (s)
-- Reply: {'closed'} · {'closed', parent, its instance, attempt} that one is ready now · {'open'} something still is
--      · {'ended'} it was closed before, or is not there
local state, open, parent, starter, started, progress, pauses, wish = unpack(
  redis.call('HMGET', KEYS[1], 'state', 'open', 'parent', 'parent_instance', 'started_ms', 'progress', 'pauses_ms', 'wish'))
if state ~= 'running' then return { 'ended' } end
if tonumber(open) > 0 then return { 'open' } end
local ends, data = ARGV[3], ARGV[6]
-- The wish came after the caller had looked.
if wish == 'cancel' and ends == 'succeeded' then ends, data = 'cancelled', '{"state":"cancelled"}' end
local now = now_ms()
local took_ms = now - started - (pauses or 0)
redis.call('HSET', KEYS[1], 'state', ends, 'ended_ms', now, 'outputs', ARGV[4], 'error', ARGV[5])
redis.call('HDEL', KEYS[1], 'ends_ms')
count('runs|' .. ends, 1)
if ends == 'succeeded' and progress then
  redis.call('HSET', KEYS[1], 'progress', 1, 'left_ms', 0)
  -- One that keeps results of another run is shorter than it would be.
  if redis.call('EXISTS', keys_of(ARGV[2]).kept) == 0 then learn_pace(KEYS[4], KEYS[5], took_ms, ARGV[8]) end
end
-- The step that ran this pipeline took as long as this.
if parent and parent ~= '' then
  local work = keys_of(parent).work
  if redis.call('EXISTS', work) == 1 then redis.call('HINCRBY', work, '+' .. path_of(starter), took_ms) end
end
tell_end(ARGV[2], now, ARGV[1])
event(KEYS[2], ARGV[1], 'run_closed', now, '', 0, data)
redis.call('ZREM', KEYS[3], ARGV[2] .. '|')
local attempt = call_parent(ARGV[2], parent, starter, now, ARGV[7])
return attempt and { 'closed', parent, starter, attempt } or { 'closed' }
