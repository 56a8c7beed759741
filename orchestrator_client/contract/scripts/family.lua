-- Runs that belong together: a step may run another pipeline as a run of its own, its child. The child's record has
-- `parent` and `parent_instance`; the parent's children are the fields of `orc:{<parent>}:children`, child -> instance.
-- While the parent's instance is parked for a child, its token is that child's id.

-- Make the instance that waits for this run ready; its attempt, or nil where it does not wait (any more).
local function call_parent(run, parent, instance, now, look_again_ms)
  if not parent or parent == '' then return nil end
  local text = redis.call('HGET', keys_of(parent).instances, instance)
  local open = text and parsed_instance(text)
  if not open or open.state ~= 'parked' or open.token ~= run then return nil end
  make_ready(parent, instance, open, now, look_again_ms)
  return open.attempt
end

-- Wish the end of all that a run has started, and of all that this has.
local function cancel_children(run, now, ttl_s)
  for _, child in ipairs(redis.call('HKEYS', keys_of(run).children)) do
    local key = keys_of(child).record
    local state, wish = unpack(redis.call('HMGET', key, 'state', 'wish'))
    if (state == 'submitted' or state == 'running') and wish ~= 'cancel' then
      redis.call('HSET', key, 'wish', 'cancel')
      event(keys_of(child).events, ttl_s, 'cancel_requested', now, '', 0, '{"by":"parent"}')
      redis.call('ZADD', 'orc:timetable', now, child .. '|')
      cancel_children(child, now, ttl_s)
    end
  end
end
