-- needs: instances family
-- End a run of which the store keeps what no script can use: it fails, and nothing of it starts from now on.
-- KEYS 1 record (hash)  2 events (stream)  3 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 the instance that is broken (empty: the run itself)  4 error (JSON)  5 event data (JSON)
--      6 look again after (ms)
-- Reply: {'closed'} · {'closed', parent, its instance, attempt} that one is ready now · {'ended'} it was closed before, or
--      there is no record of it that could be read
redis.call('ZREM', KEYS[3], ARGV[2] .. '|', ARGV[2] .. '|' .. ARGV[3])
local found = redis.pcall('HMGET', KEYS[1], 'state', 'halt', 'parent', 'parent_instance')
if found.err or (found[1] ~= 'running' and found[1] ~= 'submitted') then return { 'ended' } end

local now = now_ms()
local halt = found[2] and found[2] ~= '' and found[2] or ARGV[3] ~= '' and ARGV[3] or '!'
redis.call('HSET', KEYS[1], 'state', 'failed', 'ended_ms', now, 'open', 0, 'halt', halt, 'error', ARGV[4])
-- Its events may be what is broken.
pcall(event, KEYS[2], ARGV[1], 'run_closed', now, '', 0, ARGV[5])
pcall(cancel_children, ARGV[2], now, ARGV[1])
local _, attempt = pcall(call_parent, ARGV[2], found[3], found[4], now, ARGV[6])
return type(attempt) == 'number' and { 'closed', found[3], found[4], attempt } or { 'closed' }
