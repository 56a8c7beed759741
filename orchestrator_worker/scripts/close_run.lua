-- needs: instances family
-- End a run, once, when nothing of it is open, and call the step back that waits for it.
-- KEYS 1 record (hash)  2 events (stream)  3 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 state  4 outputs (JSON)  5 error (JSON, or empty)  6 event data (JSON)  7 look again after (ms)
-- Reply: {'closed'} · {'closed', parent, its instance, attempt} that one is ready now · {'open'} something still is
--      · {'ended'} it was closed before, or is not there
local state, open, parent, starter = unpack(redis.call('HMGET', KEYS[1], 'state', 'open', 'parent', 'parent_instance'))
if state ~= 'running' then return { 'ended' } end
if tonumber(open) > 0 then return { 'open' } end
local now = now_ms()
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'ended_ms', now, 'outputs', ARGV[4], 'error', ARGV[5])
event(KEYS[2], ARGV[1], 'run_closed', now, '', 0, ARGV[6])
redis.call('ZREM', KEYS[3], ARGV[2] .. '|')
local attempt = call_parent(ARGV[2], parent, starter, now, ARGV[7])
return attempt and { 'closed', parent, starter, attempt } or { 'closed' }
