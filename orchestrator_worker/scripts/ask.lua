-- needs: instances
-- Let a step that is running ask for another one, and go on running.
-- KEYS 1 record (hash)  2 instances (hash)  3 memos (hash)  4 the chord's growth (string); orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 the instance asked for  6 its queue  7 what it is (JSON, kept as the memo
--      `instance?`)  8 look again after (ms)
-- Reply: 'ready' to be published now · 'again' it was asked for before · 'halted' the run takes no more steps
--      · 'refused' not this attempt's to ask
local ttl_s, run, asked = tonumber(ARGV[1]), ARGV[2], ARGV[5]
local text = redis.call('HGET', KEYS[2], ARGV[3])
local open = text and parsed_instance(text)
if not open or not held(open.state) or open.attempt ~= tonumber(ARGV[4]) then return 'refused' end
if redis.call('HEXISTS', KEYS[3], asked .. '?') == 1 then return 'again' end
local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if wish == 'cancel' or halt ~= '' then return 'halted' end

redis.call('HSET', KEYS[3], asked .. '?', ARGV[7])
keep(KEYS[3], ttl_s)
make_ready(run, asked, { attempt = 1, dead = '0', excused = 0, queue = ARGV[6] }, now_ms(), tonumber(ARGV[8]))
redis.call('INCRBY', KEYS[4], 1)
redis.call('EXPIRE', KEYS[4], ttl_s)
redis.call('HINCRBY', KEYS[1], 'open', 1)
return 'ready'
