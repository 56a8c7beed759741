-- Say how far an attempt is, as an event of its run.
-- KEYS 1 instances (hash)  2 events (stream)
-- ARGV 1 ttl (s)  2 instance  3 attempt  4 data of the event (JSON)
-- Reply: 1 said · 0 the attempt does not hold its instance any more, and nothing was said
local state, current = (redis.call('HGET', KEYS[1], ARGV[2]) or ''):match('^(%a+)|(%d+)|')
if not held(state) or current ~= ARGV[3] then return 0 end
event(KEYS[2], ARGV[1], 'step_progress', now_ms(), ARGV[2], ARGV[3], ARGV[4])
return 1
