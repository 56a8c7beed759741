-- End a run, once, when nothing of it is open.
-- KEYS 1 record (hash)  2 events (stream)  3 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 state  4 outputs (JSON)  5 error (JSON, or empty)  6 event data (JSON)
-- Reply: 'closed' · 'open' something still is · 'ended' it was closed before, or is not there
local state, open = unpack(redis.call('HMGET', KEYS[1], 'state', 'open'))
if state ~= 'running' then return 'ended' end
if tonumber(open) > 0 then return 'open' end
local now = now_ms()
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'ended_ms', now, 'outputs', ARGV[4], 'error', ARGV[5])
event(KEYS[2], ARGV[1], 'run_closed', now, '', 0, ARGV[6])
redis.call('ZREM', KEYS[3], ARGV[2] .. '|')
return 'closed'
