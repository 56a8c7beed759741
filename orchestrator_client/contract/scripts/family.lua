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

local function is_open(state) return state == 'submitted' or state == 'running' end

-- Visit all that a run has started and that has not ended, and all that these have.
local function for_each_below(run, visit)
  for _, child in ipairs(redis.call('HKEYS', keys_of(run).children)) do
    if is_open(redis.call('HGET', keys_of(child).record, 'state')) then
      visit(child)
      for_each_below(child, visit)
    end
  end
end

-- Wish the end of all that a run has started, and of all that this has.
local function cancel_children(run, now, ttl_s)
  for_each_below(run, function(child)
    local keys = keys_of(child)
    if redis.call('HGET', keys.record, 'wish') == 'cancel' then return end
    redis.call('HSET', keys.record, 'wish', 'cancel')
    event(keys.events, ttl_s, 'cancel_requested', now, '', 0, '{"by":"parent"}')
    redis.call('ZADD', 'orc:timetable', now, child .. '|')
  end)
end
