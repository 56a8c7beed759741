-- One open instance: `state|attempt|since ms|dead|excused|queue|token`. `excused`: attempts that ended through no fault of
-- the step (a provider's limits, a worker that stops, a turn of a conversation); they do not count as tries. `token`: of a
-- running one the claim's, or 'once' or 'again' since it has called its tool (see begin_call.lua); of a parked one its child,
-- or 'pause' where nothing but its run's pause keeps it.

local function parsed_instance(text)
  local state, attempt, since, dead, excused, queue, token = text:match('^(%a+)|(%d+)|(%d+)|(%d)|(%d+)|([^|]*)|?(.*)$')
  return { state = state, attempt = tonumber(attempt), since = tonumber(since), dead = dead, excused = tonumber(excused),
    queue = queue, token = token }
end

local function put_instance(key, instance, open)
  redis.call('HSET', key, instance, string.format('%s|%d|%.0f|%s|%d|%s|%s',
    open.state, open.attempt, open.since, open.dead, open.excused, open.queue, open.token or ''))
end

local function keys_of(run)
  local key = 'orc:{' .. run .. '}'
  return { record = key, instances = key .. ':instances', values = key .. ':values', receipts = key .. ':receipts',
    arrivals = key .. ':arrivals', events = key .. ':events', calls = key .. ':calls', memos = key .. ':memos',
    children = key .. ':children', questions = key .. ':questions', work = key .. ':work', kept = key .. ':kept',
    kept_values = key .. ':kept_values' }
end

-- The keys of a run, behind its record's, but for large values.
local RUN_PARTS = { '', ':plan', ':instances', ':values', ':receipts', ':arrivals', ':events', ':calls', ':memos', ':questions',
  ':children', ':work', ':kept', ':kept_values', ':deltas', ':variables', ':versions' }

-- An instance whose message is now to be sent; sweep looks again whether it arrived.
local function make_ready(run, instance, open, now, look_again_ms)
  open.state, open.since, open.token = 'ready', now, ''
  put_instance(keys_of(run).instances, instance, open)
  redis.call('ZADD', 'orc:timetable', now + look_again_ms, run .. '|' .. instance)
end
