-- needs: instances family gates waiting budgets admission progress
-- Record how an attempt ended, count its arrival at each successor, and grow the chord by those that became ready. What
-- halts its run wishes the end of all that the run has started.
-- KEYS 1 record (hash)  2 instances (hash)  3 values (hash)  4 receipts (hash)  5 arrivals (hash)  6 events (stream)
--      7 orc:timetable (zset)  8 the chord's growth (string)  9 key of a large value (string)
-- ARGV 1 ttl (s)  2 run  3 instance  4 attempt  5 receipt (JSON)  6 event kind  7 event data (JSON)
--      8 value (JSON, or zlib if large)  9 value is large (0|1)  10 halts the run (0|1)  11 look again after (ms)
--      12 counts as a failure (0|1)  13 how its call ended (JSON, see admission.lua; empty: nobody knows)
--      14… for each successor: instance, need (arrivals), queue, edge ('order'|'route'|'return'|'end'), alive (0|1)
-- Reply: {'settled', ready instance, its attempt, …} · {'again'} this attempt was settled before
--      · {'refused'} another attempt was, or will be
-- An edge 'return' leads back to an instance that is parked until the steps it asked for have ended. Its successor is
-- written `instance#turn`, which is what the arrivals are counted by. An edge 'end' leads to the scope that the instance
-- is in, `instance[item]` or `instance#pass`: when all its exits have arrived, its loop is called back. The scopes that
-- have ended are counted as `instance~`, and the failures within them as `instance~!`.
local ttl_s, run, instance, attempt = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local text = redis.call('HGET', KEYS[2], instance)
if not text then
  local receipt = redis.call('HGET', KEYS[4], instance)
  local same = receipt and receipt:match(' (.*)$') == ARGV[5]
  return { same and 'again' or 'refused' }
end
local open = parsed_instance(text)
if not held(open.state) or open.attempt ~= tonumber(attempt) then return { 'refused' } end

local now = now_ms()
redis.call('HSET', KEYS[4], instance, string.format('%.0f ', now) .. ARGV[5])
if ARGV[9] == '1' then
  redis.call('SET', KEYS[9], ARGV[8], 'EX', ttl_s * 4)
  redis.call('HSET', KEYS[3], instance, '')
else
  redis.call('HSET', KEYS[3], instance, ARGV[8])
end
redis.call('HDEL', KEYS[2], instance)
redis.call('ZREM', KEYS[7], run .. '|' .. instance)
leave(run, instance, ARGV[13], now, ttl_s)
count('steps|' .. open.queue .. '|' .. ARGV[6]:sub(6), 1)
local data = ARGV[7]
-- A step that a model asked for is part of the step that asked.
if ARGV[14 + 3] ~= 'return' then
  local scopes = tonumber(redis.call('HGET', KEYS[5], instance .. '~') or 0)
  -- What is kept of another run took no time in this one.
  local performed = ARGV[6] == 'step_succeeded' and redis.call('HEXISTS', keys_of(run).kept, instance) == 0
  local told = advance(run, instance, performed and now - open.since or nil, scopes, now)
  if told then data = data:sub(1, -2) .. (data == '{}' and '' or ',') .. told .. '}' end
end
event(KEYS[6], ttl_s, ARGV[6], now, instance, attempt, data)
if ARGV[12] == '1' then
  redis.call('HINCRBY', KEYS[1], 'failed', 1)
  for around in instance:gmatch('()%.') do
    local loop = instance:sub(1, around - 1):gsub('%[%d+%]$', ''):gsub('#%d+$', '')
    redis.call('HINCRBY', KEYS[5], loop .. '~!', 1)
  end
end

local wish, halt = unpack(redis.call('HMGET', KEYS[1], 'wish', 'halt'))
if ARGV[10] == '1' and halt == '' then
  halt = instance
  redis.call('HSET', KEYS[1], 'halt', instance)
  redis.call('ZADD', KEYS[7], now, run .. '|')
  cancel_children(run, now, ttl_s)
end

-- Back to the instance that asked: it is open already, so the chord does not grow by it.
local function call_back(parent)
  local waiting = redis.call('HGET', KEYS[2], parent)
  if not waiting then return end
  local back = parsed_instance(waiting)
  if back.state ~= 'parked' then return end
  make_ready(run, parent, back, now, tonumber(ARGV[11]))
  return back.attempt
end

local reply, grown = { 'settled' }, 0
if wish ~= 'cancel' and halt == '' then
  for i = 14, #ARGV, 5 do
    local successor, edge, alive = ARGV[i], ARGV[i + 3], ARGV[i + 4] == '1'
    local count = redis.call('HINCRBY', KEYS[5], successor, 1)
    if edge == 'order' and not alive then redis.call('HSET', KEYS[5], '!' .. successor, 1) end
    if edge == 'route' then redis.call('HINCRBY', KEYS[5], '+' .. successor, alive and 1 or 0) end
    if count == tonumber(ARGV[i + 1]) then
      if edge == 'return' or edge == 'end' then
        local parent = successor:match('^(.*)#%d+$') or successor:match('^(.*)%[%d+%]$')
        if edge == 'end' then redis.call('HINCRBY', KEYS[5], parent .. '~', 1) end
        local next_attempt = call_back(parent)
        if next_attempt then
          reply[#reply + 1] = parent
          reply[#reply + 1] = next_attempt
        end
      else
        local broken, live = unpack(redis.call('HMGET', KEYS[5], '!' .. successor, '+' .. successor))
        local dead = (broken or live == '0') and '1' or '0'
        make_ready(run, successor, { attempt = 1, dead = dead, excused = 0, queue = ARGV[i + 2] }, now, tonumber(ARGV[11]))
        grown = grown + 1
        reply[#reply + 1] = successor
        reply[#reply + 1] = 1
      end
    end
  end
  keep(KEYS[5], ttl_s)
end
keep(KEYS[2], ttl_s)
keep(KEYS[3], ttl_s)
keep(KEYS[4], ttl_s)

if grown > 0 then
  redis.call('INCRBY', KEYS[8], grown)
  redis.call('EXPIRE', KEYS[8], ttl_s)
end
if redis.call('HINCRBY', KEYS[1], 'open', grown - 1) == 0 then redis.call('ZADD', KEYS[7], now + tonumber(ARGV[11]), run .. '|') end
return reply
