-- needs: instances gates waiting budgets admission progress
-- End an attempt without an outcome: the instance comes back as its next attempt, at once, after a wait, or when the
-- steps that it has asked for have ended, its question has been answered, or the run that it has started has ended.
-- KEYS 1 record (hash)  2 instances (hash)  3 events (stream)  4 orc:timetable (zset)  5 memos (hash)  6 the chord's growth (string)
--      7 arrivals (hash)  8 questions (hash)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 wait (ms; 0: at once)  6 attempts to excuse  7 event data (JSON; empty: no event, its gate tells)
--      8 how its call ended (JSON, see admission.lua; empty: nobody knows)  9 memo (JSON; empty: as it was)
--      10 look again after (ms)  11 scopes of it that it knows to have ended (-1: it waits for none)
--      12 question (JSON; empty: none), to which the wait is the deadline  13 its number
--      14 run that it waits for (empty: none), at most for the wait
--      15 scopes of it that there are, as far as it knows (0: it has none)  16 there are no more of them (0|1)
--      17… steps asked for: instance, queue, what it is (JSON, kept as the memo `instance?`; empty if the plan says), …
--      without a queue: a scope, and what its steps are to know
-- Reply: {'parked', next attempt} it waits · {'ready', next attempt} to be published now, as are the steps it asked for
--      · {'halted'} the run takes no more attempts; settle it · {'refused'} not this attempt's to say
local ttl_s, run, instance, attempt = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local text = redis.call('HGET', KEYS[2], instance)
local open = text and parsed_instance(text)
if not open or not held(open.state) or open.attempt ~= attempt then return { 'refused' } end
local now = now_ms()
if ARGV[9] ~= '' then redis.call('HSET', KEYS[5], instance, ARGV[9]) end
keep(KEYS[5], ttl_s)
local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if wish == 'cancel' or halt ~= '' then return { 'halted' } end

leave(run, instance, ARGV[8], now, ttl_s)
local wait_ms, seen, member, asked = tonumber(ARGV[5]), tonumber(ARGV[11]), run .. '|' .. instance, 0
if ARGV[15] ~= '0' then reckon_scopes(run, instance, tonumber(ARGV[15]), ARGV[16] == '1', now) end
for i = 17, #ARGV, 3 do
  if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[5], ARGV[i] .. (ARGV[i + 1] ~= '' and '?' or ''), ARGV[i + 2]) end
  if ARGV[i + 1] ~= '' then
    make_ready(run, ARGV[i], { attempt = 1, dead = '0', excused = 0, queue = ARGV[i + 1] }, now, tonumber(ARGV[10]))
    asked = asked + 1
  end
end
keep(KEYS[5], ttl_s)
-- A scope that ended while this attempt ran has called nobody back.
local called = seen >= 0 and tonumber(redis.call('HGET', KEYS[7], instance .. '~') or 0) > seen
local asks, number, told = ARGV[12] ~= '', ARGV[13], 'step_parked'
if asks then
  told = 'question_asked'
  local before = redis.call('HGET', KEYS[8], instance)
  if before and before:match('^%d+') == number then
    -- It stands already: this attempt came back too early.
    ARGV[7] = ''
  else
    redis.call('HSET', KEYS[8], instance,
      string.format('%s %.0f %.0f ', number, now, wait_ms > 0 and now + wait_ms or 0) .. ARGV[12])
    keep(KEYS[8], ttl_s)
  end
  -- An answer that came while it was not parked has called nobody back.
  local answer = redis.call('HGET', KEYS[8], instance .. '!')
  called = answer and answer:match('^%d+') == number
end
local child = ARGV[14]
if child ~= '' then
  -- A run that ended before this has called nobody back.
  local state = redis.call('HGET', keys_of(child).record, 'state')
  called = state ~= 'submitted' and state ~= 'running'
end
open.attempt, open.excused, open.since, open.token = attempt + 1, open.excused + tonumber(ARGV[6]), now, ''
open.state = not called and (wait_ms > 0 or asked > 0 or seen >= 0 or asks or child ~= '') and 'parked' or 'ready'
if open.state == 'parked' then open.token = child end
put_instance(KEYS[2], instance, open)
if ARGV[7] ~= '' then event(KEYS[3], ttl_s, told, now, instance, attempt, ARGV[7]) end
if asked > 0 then
  redis.call('INCRBY', KEYS[6], asked)
  redis.call('EXPIRE', KEYS[6], ttl_s)
  redis.call('HINCRBY', KEYS[1], 'open', asked)
end
if open.state == 'parked' and wait_ms == 0 then
  redis.call('ZREM', KEYS[4], member)
else
  redis.call('ZADD', KEYS[4], now + (open.state == 'parked' and wait_ms or tonumber(ARGV[10])), member)
end
return { open.state, open.attempt }
