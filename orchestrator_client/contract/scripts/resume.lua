-- needs: instances family
-- Let a paused run go on, and all that it has started. Its clocks go on where they stood: deadlines of its questions are
-- moved by as long as it was paused, and so are waits for runs, see `pauses_ms` in claim.lua.
-- KEYS 1 record (hash)
-- ARGV 1 ttl (s)  2 run  3 who
-- Reply: {state, wish, paused since (ms, or empty), by} as they were before · false: no such run
local ttl_s, run, who, now = tonumber(ARGV[1]), ARGV[2], ARGV[3], now_ms()
local before = redis.call('HMGET', KEYS[1], 'state', 'wish', 'paused_ms', 'paused_by')
if not before[1] then return false end

-- The new deadline of a question that stood when its run was paused, or was asked since; nil where none stands.
local function move_deadline(questions, instance, paused_ms)
  local question, answer = unpack(redis.call('HMGET', questions, instance, instance .. '!'))
  local number, asked, deadline, text = (question or ''):match('^(%d+) (%d+) (%d+) (.*)$')
  if not number or (answer and answer:match('^%d+') == number) or tonumber(deadline) <= paused_ms then return nil end
  local moved = deadline + now - math.max(paused_ms, asked)
  redis.call('HSET', questions, instance, string.format('%s %s %.0f ', number, asked, moved) .. text)
  return moved
end

local function wake(each, instance, open, paused_ms)
  local member = each .. '|' .. instance
  local deadline = move_deadline(keys_of(each).questions, instance, paused_ms)
  if deadline then
    redis.call('ZADD', 'orc:timetable', deadline, member)
  elseif open.token ~= '' then
    -- Set aside, or it waits for a run: that one parks again, for what is left.
    redis.call('ZADD', 'orc:timetable', now, member)
  end
end

local function resume(each)
  local keys = keys_of(each)
  local wish, paused_ms = unpack(redis.call('HMGET', keys.record, 'wish', 'paused_ms'))
  if wish ~= 'pause' then return end
  redis.call('HSET', keys.record, 'wish', 'run', 'paused_ms', '', 'paused_by', '')
  local lasted_ms = string.format('%.0f', math.max(0, now - paused_ms))
  redis.call('HINCRBY', keys.record, 'pauses_ms', lasted_ms)
  if redis.call('HEXISTS', keys.record, 'ends_ms') == 1 then redis.call('HINCRBY', keys.record, 'ends_ms', lasted_ms) end
  event(keys.events, ttl_s, 'resume_requested', now, '', 0, cjson.encode({ by = who }))
  redis.call('ZADD', 'orc:timetable', now, each .. '|')
  local instances = redis.call('HGETALL', keys.instances)
  for i = 1, #instances, 2 do
    local open = parsed_instance(instances[i + 1])
    if open.state == 'parked' then wake(each, instances[i], open, tonumber(paused_ms)) end
  end
end

if is_open(before[1]) and before[2] == 'pause' then
  audit(now, 'resume', run, who, '{}')
  resume(run)
  for_each_below(run, resume)
end
return { before[1], before[2], before[3] or '', before[4] or '' }
