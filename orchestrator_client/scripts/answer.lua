-- needs: instances
-- Record the answer to a question, once, and make the instance that asked ready.
-- KEYS 1 record (hash)  2 instances (hash)  3 questions (hash)  4 events (stream); orc:timetable (zset)
-- ARGV 1 ttl (s)  2 run  3 instance  4 number of the question  5 answer (JSON, with a token of its call)  6 event data (JSON)
--      7 look again after (ms)  8 who  9 what the audit log says of it (JSON)
-- Reply: {'answered', attempt, queue} its message is now to be sent; attempt 0: it comes back by itself
--      · {'before', number, `at ms` and JSON of the answer that counts} · {'expired', deadline (ms)}
--      · {'ended'} the run takes no more steps, or the instance has ended · {'none'} no such question stands
local ttl_s, run, instance, number = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local question, before = unpack(redis.call('HMGET', KEYS[3], instance, instance .. '!'))
local asked, deadline = (question or ''):match('^(%d+) %d+ (%d+) ')
if asked ~= number then return { 'none' } end

local text = redis.call('HGET', KEYS[2], instance)
local open = text and parsed_instance(text)
if before and before:match('^%d+') == number then
  if before:match('^%d+ %d+ (.*)$') ~= ARGV[5] then return { 'before', before } end
  -- The same call once more: its reply was lost on the way.
  if open and open.state == 'ready' then return { 'answered', open.attempt, open.queue } end
  return { 'answered', 0, '' }
end

local now = now_ms()
local state, wish, halt, paused_ms = unpack(redis.call('HMGET', KEYS[1], 'state', 'wish', 'halt', 'paused_ms'))
if not open or state ~= 'running' or wish == 'cancel' or halt ~= '' then return { 'ended' } end
-- The clock of a paused run stands.
local clock = wish == 'pause' and tonumber(paused_ms) or now
if tonumber(deadline) > 0 and clock >= tonumber(deadline) then return { 'expired', tonumber(deadline) } end

redis.call('HSET', KEYS[3], instance .. '!', string.format('%s %.0f ', number, now) .. ARGV[5])
event(KEYS[4], ttl_s, 'question_answered', now, instance, open.attempt - 1, ARGV[6])
audit(now, 'answer', run, ARGV[8], ARGV[9])
-- One that is not parked looks for the answer when it parks.
if open.state ~= 'parked' then return { 'answered', 0, '' } end
make_ready(run, instance, open, now, tonumber(ARGV[7]))
return { 'answered', open.attempt, open.queue }
