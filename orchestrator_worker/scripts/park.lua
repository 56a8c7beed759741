-- needs: instances gates waiting budgets admission
-- End an attempt without an outcome: the instance comes back as its next attempt, at once, after a wait, or when the
-- steps that it has asked for have ended.
-- KEYS 1 record (hash)  2 instances (hash)  3 events (stream)  4 orc:timetable (zset)  5 memos (hash)  6 the chord's growth (string)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 wait (ms; 0: at once)  6 attempts to excuse  7 event data (JSON; empty: no event, its gate tells)
--      8 how its call ended (JSON, see admission.lua; empty: nobody knows)  9 memo (JSON; empty: as it was)
--      10 look again after (ms)  11… steps asked for: instance, queue, memo (JSON), …
-- Reply: {'parked', next attempt} it waits · {'ready', next attempt} to be published now, as are the steps it asked for
--      · {'halted'} the run takes no more attempts; settle it · {'refused'} not this attempt's to say
local ttl_s, run, instance, attempt = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local text = redis.call('HGET', KEYS[2], instance)
local open = text and parsed_instance(text)
if not open or not held(open.state) or open.attempt ~= attempt then return { 'refused' } end
local now = now_ms()
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[5], instance, ARGV[9])
  keep(KEYS[5], ttl_s)
end
local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if wish == 'cancel' or halt ~= '' then return { 'halted' } end

leave(run, instance, ARGV[8], now, ttl_s)
local wait_ms, asked, member = tonumber(ARGV[5]), (#ARGV - 10) / 3, run .. '|' .. instance
open.attempt, open.excused, open.since, open.token = attempt + 1, open.excused + tonumber(ARGV[6]), now, ''
open.state = (wait_ms > 0 or asked > 0) and 'parked' or 'ready'
put_instance(KEYS[2], instance, open)
if ARGV[7] ~= '' then event(KEYS[3], ttl_s, 'step_parked', now, instance, attempt, ARGV[7]) end
if asked > 0 then
  redis.call('ZREM', KEYS[4], member)
  for i = 11, #ARGV, 3 do
    local new = { attempt = 1, dead = '0', excused = 0, queue = ARGV[i + 1] }
    make_ready(run, ARGV[i], new, now, tonumber(ARGV[10]))
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 2])
  end
  redis.call('INCRBY', KEYS[6], asked)
  redis.call('EXPIRE', KEYS[6], ttl_s)
  redis.call('HINCRBY', KEYS[1], 'open', asked)
else
  redis.call('ZADD', KEYS[4], now + (wait_ms > 0 and wait_ms or tonumber(ARGV[10])), member)
end
return { open.state, open.attempt }
