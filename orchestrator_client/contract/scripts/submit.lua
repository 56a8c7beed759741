-- needs: instances
-- Record a run, once. Submitting the same run again changes nothing.
-- KEYS 1 record (hash)  2 plan (string)  3 events (stream)  4 orc:runs (zset)  5 orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 digest of plan and inputs  4 pipeline  5 plan hash  6 plan (zlib)  7 inputs (JSON)
--      8 tags (JSON)  9 number of steps  10 look again after (ms)  11 tenant  12 budget (JSON, or empty)
--      13 models' text is streamed (1, or empty)  14 answers to questions (JSON, or empty)
--      15 the run whose step starts it (empty: none)  16 that instance  17 its attempt  18 runs above it  19 the first of them
--      20 patterns of the tools that it may use (JSON; empty: all that its plan allows)
--      21 who (empty: no person)  22 what the audit log says of it (JSON)
--      23 the run that it is forked from (empty: none)  24 versions of variables that it begins with
--      25 traceparent of whoever submits it (or empty)  26 who is told of its end (JSON, or empty)
-- Reply: 1 recorded · 0 was recorded before, the same · -1 was recorded before, with another digest
--      · -2 the attempt that starts it is not under way any more, or its run takes no more steps
local FOLDERS_S = 400 * 86400  -- for which workers know a run's folder for one of theirs
local ttl_s = ARGV[1]
local before = redis.call('HGET', KEYS[1], 'digest')
local parent, starter, paused_ms, paused_by = ARGV[15], ARGV[16], '', ''
if before then return (parent ~= '' or before == ARGV[3]) and 0 or -1 end
if parent ~= '' then
  local above = keys_of(parent)
  local text = redis.call('HGET', above.instances, starter)
  local open = text and parsed_instance(text)
  if not open or not held(open.state) or open.attempt ~= tonumber(ARGV[17]) then return -2 end
  local wish, halt, by = unpack(redis.call('HMGET', above.record, 'wish', 'halt', 'paused_by'))
  if wish == 'cancel' or halt ~= '' then return -2 end
  if wish == 'pause' then paused_ms, paused_by = now_ms(), by end
  redis.call('HSET', above.children, ARGV[2], starter)
  keep(above.children, ttl_s)
end

local now = now_ms()
redis.call('HSET', KEYS[1], 'digest', ARGV[3], 'pipeline', ARGV[4], 'plan_hash', ARGV[5], 'inputs', ARGV[7],
  'tags', ARGV[8], 'steps', ARGV[9], 'state', 'submitted', 'wish', paused_ms == '' and 'run' or 'pause', 'open', 0, 'failed', 0, 'halt', '',
  'submitted_ms', now, 'tenant', ARGV[11], 'budget', ARGV[12], 'deltas', ARGV[13], 'answers', ARGV[14],
  'parent', parent, 'parent_instance', starter, 'depth', ARGV[18], 'root', ARGV[19], 'allow_tools', ARGV[20],
  'paused_ms', paused_ms, 'paused_by', paused_by, 'forked_from', ARGV[23], 'traceparent', ARGV[25], 'webhook', ARGV[26])
if ARGV[24] ~= '0' then redis.call('HSET', KEYS[1], 'variables', ARGV[24]) end
local origin = keys_of(ARGV[23]).record
if redis.call('EXISTS', origin) == 1 then
  redis.call('HSET', origin, 'forks', ((redis.call('HGET', origin, 'forks') or '') .. ' ' .. ARGV[2]):match('%S.*'))
end
redis.call('EXPIRE', KEYS[1], ttl_s)
redis.call('SET', KEYS[2], ARGV[6], 'EX', ttl_s)
count('runs|submitted', 1)
event(KEYS[3], ttl_s, 'run_submitted', now, '', 0, '{"steps":' .. ARGV[9] .. '}')
redis.call('ZADD', KEYS[4], now, ARGV[2])
if parent == '' then
  redis.call('ZADD', 'orc:folders', now, ARGV[2])
  redis.call('ZREMRANGEBYSCORE', 'orc:folders', '-inf', now - FOLDERS_S * 1000)
  redis.call('EXPIRE', 'orc:folders', FOLDERS_S)
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ttl_s * 1000)
redis.call('ZADD', KEYS[5], now + ARGV[10], ARGV[2] .. '|')
redis.call('EXPIRE', KEYS[4], ttl_s)
redis.call('EXPIRE', KEYS[5], ttl_s)
audit(now, 'submit', ARGV[2], ARGV[21], ARGV[22])
return 1
