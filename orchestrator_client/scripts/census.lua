-- needs: instances
-- Count what is open of some runs. Reads only.
-- KEYS 1 orc:timetable (zset); the runs' own keys are named from the arguments
-- ARGV 1… runs
-- Reply: flat: what, count, …; what is `run|<state>`, `instance|<state>`, `ready|<queue>` or `parked|<reason>`, with the
--   reasons limit, budget, cache (model calls), question, pipeline (the run that it has started), time (a retry, or a wait),
--   steps (those that it has started)
local counts, reply = {}, {}
local function add(what) counts[what] = (counts[what] or 0) + 1 end

local function reason_of(run, instance, open)
  if open.state == 'waiting' then
    local call = redis.call('HGET', keys_of(run).calls, instance)
    return call and cjson.decode(call).why or 'limit'
  end
  if open.token ~= '' then return 'pipeline' end
  local asked, answered = unpack(redis.call('HMGET', keys_of(run).record .. ':questions', instance, instance .. '!'))
  if asked and asked:match('^%d+') ~= (answered or ''):match('^%d+') then return 'question' end
  return redis.call('ZSCORE', KEYS[1], run .. '|' .. instance) and 'time' or 'steps'
end

for _, run in ipairs(ARGV) do
  local state = redis.call('HGET', keys_of(run).record, 'state')
  if state == 'submitted' or state == 'running' then
    add('run|' .. state)
    local instances = redis.call('HGETALL', keys_of(run).instances)
    for i = 1, #instances, 2 do
      local open = parsed_instance(instances[i + 1])
      add('instance|' .. open.state)
      if open.state == 'ready' then add('ready|' .. open.queue) end
      if open.state == 'parked' or open.state == 'waiting' then add('parked|' .. reason_of(run, instances[i], open)) end
    end
  end
end
for what, number in pairs(counts) do
  reply[#reply + 1], reply[#reply + 2] = what, number
end
return reply
