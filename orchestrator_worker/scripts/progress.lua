-- How far a run is, in its record: `progress`, the share of its work that is done (0 to 1); `left_ms`, the work that is still
-- to be done; `ends_ms`, about when it ends (ms since 1970; missing while nobody can tell). Work is counted in the
-- milliseconds that earlier runs took for it, and as a second a step where there were none.
-- What ends takes its part of what is left. As long as all is as expected that is its part of the whole; when a map turns
-- out longer, what is left grows and each later part counts less, so `progress` never goes back. It is 1 once the run has
-- succeeded, and at most 0.99 before.
-- orc:{run}:work  hash, by the path of a step (`each.draft`, without items and passes):
--   path -> ms of one instance · '' -> ms of one of which nothing is known
--   path* -> ms of one scope of a loop · path[] -> scopes of it that are expected · =instance -> scopes reckoned with
--   #path -> instances that succeeded · +path -> ms that they took, all together

local function path_of(instance) return (instance:gsub('%[%d+%]', ''):gsub('#%d+', '')) end

-- Keep how far the run is now. The end is told by earlier runs at first, and ever more by the pace of this one.
local function put_progress(record, progress, left_ms, now)
  local started, work_ms, run_ms, pauses_ms = unpack(redis.call('HMGET', record, 'started_ms', 'work_ms', 'expected_ms', 'pauses_ms'))
  local by_pace = progress > 0 and (now - started - (pauses_ms or 0)) * (1 - progress) / progress or nil
  local by_past = run_ms and tonumber(work_ms) > 0 and left_ms * run_ms / work_ms or nil
  local rest_ms = by_pace and by_past and (1 - progress) * by_past + progress * by_pace or by_pace or by_past
  local told = string.format('%.4f', progress)
  redis.call('HSET', record, 'progress', told, 'left_ms', string.format('%.0f', left_ms))
  if not rest_ms then return '"progress":' .. told end
  local ends = string.format('%.0f', now + rest_ms)
  redis.call('HSET', record, 'ends_ms', ends)
  return '"progress":' .. told .. ',"ends_ms":' .. ends
end

-- The scopes of a loop that are reckoned with, and what one of them takes; nil where it is no loop.
local function reckoned(work, instance, path)
  local body_ms, expected, known = unpack(redis.call('HMGET', work, path .. '*', path .. '[]', '=' .. instance))
  if not body_ms then return nil end
  return tonumber(known or expected), tonumber(body_ms)
end

-- A loop knows how many scopes it has (`is_all`), or has begun one more than was expected.
local function reckon_scopes(run, instance, scopes, is_all, now)
  local keys = keys_of(run)
  local before, body_ms = reckoned(keys.work, instance, path_of(instance))
  if not before or scopes == before or (scopes < before and not is_all) then return end
  redis.call('HSET', keys.work, '=' .. instance, scopes)
  local progress, left = unpack(redis.call('HMGET', keys.record, 'progress', 'left_ms'))
  put_progress(keys.record, tonumber(progress), math.max(0, left + (scopes - before) * body_ms), now)
end

-- An instance has ended, after so many of its scopes if it is a loop: what its event says of the run's progress, as parts of
-- a JSON object; nothing where an older worker has started the run. `took_ms` is nil for one that has not succeeded.
local function advance(run, instance, took_ms, scopes, now)
  local keys, path = keys_of(run), path_of(instance)
  local progress, left = unpack(redis.call('HMGET', keys.record, 'progress', 'left_ms'))
  if not progress then return nil end
  progress, left = tonumber(progress), tonumber(left)
  local before, body_ms = reckoned(keys.work, instance, path)
  if before then left = math.max(0, left + (scopes - before) * body_ms) end
  local own, other = unpack(redis.call('HMGET', keys.work, path, ''))
  if not other then return nil end
  local own_ms = tonumber(own or other)
  if left > 0 then progress = math.min(0.99, progress + (1 - progress) * math.min(1, own_ms / left)) end
  if took_ms then
    redis.call('HINCRBY', keys.work, '#' .. path, 1)
    redis.call('HINCRBY', keys.work, '+' .. path, took_ms)
  end
  return put_progress(keys.record, progress, math.max(0, left - own_ms), now)
end
