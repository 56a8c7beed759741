-- needs: instances gates waiting budgets admission pausing
-- Look at what is due: say which messages to send again, which attempts are lost, which runs to start or close.
-- KEYS 1 orc:timetable (zset)  2 orc:sweeper (string)  3 orc:swept (string); the runs' own keys are named from the members
-- ARGV 1 ttl (s)  2 only if nobody swept for (ms)  3 at most (members)  4 look again after (ms)
--      5 look at an open run again after (ms)  6 a lease that ran out may still be renewed for (ms)
--      7 life of a lease (ms): if nobody swept for so long, nobody could renew either, and each gets one more
-- Reply: flat: verb, run, instance, attempt, queue, age (ms in this state), …  with the verbs
--   'publish' it has just become ready · 'republish' ready for a while, perhaps its message is lost
--   'conclude' ready for a while, and its run ends: whoever takes it need not be able to run it
--   'lost' its lease ran out · 'start' submitted, not started · 'close' nothing is open, not closed
--   'broken' what the store keeps of it cannot be used
local ttl_s, grace, reply = tonumber(ARGV[1]), tonumber(ARGV[4]), {}
if tonumber(ARGV[2]) > 0 and not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[2]) then return reply end

local now = now_ms()
local last = tonumber(redis.call('GET', KEYS[3]) or now)
redis.call('SET', KEYS[3], now, 'EX', ttl_s)
local lateness = tonumber(now - last > tonumber(ARGV[7]) and ARGV[7] or ARGV[6])
local function say(verb, run, instance, attempt, queue, age)
  for _, field in ipairs({ verb, run, instance, attempt, queue, age }) do reply[#reply + 1] = field end
end
local function again(member, after) redis.call('ZADD', KEYS[1], now + after, member) end

local function promote(run, instance, open)
  make_ready(run, instance, open, now, grace)
  say('publish', run, instance, open.attempt, open.queue, 0)
end

local function look_at_instance(member, run, instance)
  local text = redis.call('HGET', keys_of(run).instances, instance)
  if not text then return redis.call('ZREM', KEYS[1], member) end
  local open = parsed_instance(text)
  local age = now - open.since
  if open.state == 'parked' then
    if may_start(run, instance) then return promote(run, instance, open) end
    -- Its time has come, and its run is paused. What waits for a run keeps that one's name.
    if open.token == '' then open.token = 'pause' end
    put_instance(keys_of(run).instances, instance, open)
    redis.call('ZREM', KEYS[1], member)
  elseif (open.state == 'ready' or open.state == 'waiting') and not may_start(run, instance) then
    set_aside(run, instance, open, now, ttl_s)
  elseif open.state == 'ready' then
    -- Twice as late each time: a long queue is no reason to fill it with copies.
    again(member, math.max(grace, age))
    say('republish', run, instance, open.attempt, open.queue, age)
  elseif open.state == 'waiting' then
    again(member, math.max(grace, age))
    -- Perhaps it waits at no gate, for no answer and no money any more.
    look_once_more(member, ttl_s)
  elseif open.state == 'running' then
    -- Twice seen, so that workers which could not renew (the machine is slow, or the store was away) get a moment.
    open.state = 'late'
    put_instance(keys_of(run).instances, instance, open)
    again(member, math.max(lateness, tonumber(ARGV[6])))
  else
    again(member, grace)
    count('lost', 1)
    say('lost', run, instance, open.attempt, open.queue, age)
  end
end

local function renew_life(key)
  for _, part in ipairs(RUN_PARTS) do redis.call('EXPIRE', key .. part, ttl_s) end
end

local function look_at_run(member, run)
  local key = 'orc:{' .. run .. '}'
  local state, open, wish, halt = unpack(redis.call('HMGET', key, 'state', 'open', 'wish', 'halt'))
  if state == 'submitted' and wish == 'pause' then
    renew_life(key)
    return again(member, tonumber(ARGV[5]))
  elseif state == 'submitted' then
    again(member, grace)
    return say('start', run, '', 0, '', 0)
  elseif state ~= 'running' then
    return redis.call('ZREM', KEYS[1], member)
  elseif tonumber(open) <= 0 then
    again(member, grace)
    return say('close', run, '', 0, '', 0)
  end
  renew_life(key)
  local ends = wish == 'cancel' or halt ~= ''
  again(member, ends and grace or tonumber(ARGV[5]))
  if wish == 'run' and not ends then return end
  local instances = redis.call('HGETALL', key .. ':instances')
  for i = 1, #instances, 2 do
    local instance, each = instances[i], parsed_instance(instances[i + 1])
    if ends and (each.state == 'parked' or each.state == 'waiting') then
      promote(run, instance, each)
    elseif ends and each.state == 'ready' and now - each.since >= grace then
      -- Perhaps nobody serves its queue.
      say('conclude', run, instance, each.attempt, each.queue, now - each.since)
    elseif not ends and (each.state == 'ready' or each.state == 'waiting') and not may_start(run, instance) then
      set_aside(run, instance, each, now, ttl_s)
    end
  end
end

redis.call('EXPIRE', KEYS[1], ttl_s)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
  local run, instance = member:match('^([^|]*)|(.*)$')
  -- What is garbage of one run must not keep the others from being repaired.
  local said = #reply
  local fine = pcall(instance == '' and look_at_run or look_at_instance, member, run, instance)
  if not fine then
    for i = #reply, said + 1, -1 do reply[i] = nil end
    again(member, grace)
    say('broken', run, instance, 0, '', 0)
  end
end
return reply
