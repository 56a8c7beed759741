-- A run that is paused starts nothing. What would start is set aside: parked, with the token 'pause', in no line, on no
-- timetable, and holding nothing of a limit or budget. `resume` calls it back. A step that a running one has asked for, and
-- waits for, goes on: what runs is to end.

local function may_start(run, instance)
  local keys = keys_of(run)
  local wish, halt = unpack(redis.call('HMGET', keys.record, 'wish', 'halt'))
  if wish ~= 'pause' or halt ~= '' then return true end
  local asked = redis.call('HGET', keys.memos, instance .. '?')
  local asker = asked and redis.call('HGET', keys.instances, cjson.decode(asked).by)
  return asker and held(parsed_instance(asker).state)
end

local function set_aside(run, instance, open, now, ttl_s)
  local keys = keys_of(run)
  leave(run, instance, '{"sent":false,"kind":"paused"}', now, ttl_s)
  open.state, open.since, open.token = 'parked', now, 'pause'
  put_instance(keys.instances, instance, open)
  redis.call('ZREM', 'orc:timetable', run .. '|' .. instance)
  event(keys.events, ttl_s, 'step_parked', now, instance, open.attempt, '{"reason":"pause"}')
end
