-- Throw a dead letter away.
-- KEYS 1 orc:dead (stream)
-- ARGV 1 the letter's id  2 who  3 for the audit log (JSON)
-- Reply: 1 done · 0 no such letter
local dropped = redis.call('XDEL', KEYS[1], ARGV[1])
if dropped == 1 then audit(now_ms(), 'drop', '', ARGV[2], ARGV[3]) end
return dropped
