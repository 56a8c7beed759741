-- What earlier runs of a pipeline took, smoothed: each run that succeeds counts three tenths.
-- orc:pace:<pipeline>  hash: '' -> ms of a whole run · path -> ms of one instance of a step · path# -> its instances in a run

local function smoothed(before, latest) return before and before + 0.3 * (latest - before) or latest end

local function learn_pace(work_key, pace_key, run_ms, ttl_s)
  local past, work, counts = {}, {}, {}
  local function read(into, key)
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do into[flat[i]] = flat[i + 1] end
  end
  read(past, pace_key)
  read(work, work_key)
  local function learn(field, latest)
    redis.call('HSET', pace_key, field, string.format('%.1f', smoothed(tonumber(past[field]), latest)))
  end
  learn('', run_ms)
  for field, count in pairs(work) do
    local path = field:match('^#(.*)$')
    if path then
      counts[path .. '#'] = tonumber(count)
      learn(path, tonumber(work['+' .. path]) / tonumber(count))
    end
  end
  for field, count in pairs(counts) do learn(field, count) end
  -- Steps that this run did not need are expected less, and forgotten after about ten such runs.
  for field, count in pairs(past) do
    if field:match('#$') and not counts[field] then
      if tonumber(count) < 0.05 then redis.call('HDEL', pace_key, field, field:sub(1, -2)) else learn(field, 0) end
    end
  end
  redis.call('EXPIRE', pace_key, ttl_s)
end
