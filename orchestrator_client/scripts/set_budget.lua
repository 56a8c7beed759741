-- Change what a budget may spend; calls that wait for its money are looked at again.
-- KEYS 1 the budget (hash; `cap` in billionths of a dollar)  2 calls that wait for its money (zset)  3 orc:again (list)
-- ARGV 1 its ttl (s)  2 cap (billionths of a dollar)  3 ttl of orc:again (s)  4 who  5 what the audit log says of it (JSON)
--      6 the run whose budget it is (empty: none)
-- Reply: how many calls are looked at again
redis.call('HSET', KEYS[1], 'cap', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
audit(now_ms(), 'budget', ARGV[6], ARGV[4], ARGV[5])
local short = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, member in ipairs(short) do redis.call('RPUSH', KEYS[3], member) end
redis.call('DEL', KEYS[2])
if #short > 0 then redis.call('EXPIRE', KEYS[3], ARGV[3]) end
redis.call('PUBLISH', 'orc:wake', '')
return #short
