-- needs: instances gates waiting budgets admission pausing
-- Let through what may go now, in fair order, at every gate that is due.
-- KEYS 1 orc:agenda (zset)  2 orc:again (list)
-- ARGV 1 ttl (s)  2 at most (messages)  3 look again after (ms)
-- Reply: ms until something is due (-1: nothing waits), then for each: run, instance, attempt, queue, ms that it waited
local ttl_s, most, now, reply = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms(), { -1 }

-- Its call and itself, if it still waits and may go on.
local function waiting_at(run, instance)
  local keys = keys_of(run)
  local text, call = redis.call('HGET', keys.instances, instance), redis.call('HGET', keys.calls, instance)
  local open = text and parsed_instance(text)
  if not open or open.state ~= 'waiting' or not call then return nil end
  if may_start(run, instance) then return open, cjson.decode(call), keys end
  set_aside(run, instance, open, now, ttl_s)
end

local function let_through(run, instance, open, entry, keys, in_line)
  local verdict = consider(run, instance, entry, now, ttl_s, in_line)
  redis.call('HSET', keys.calls, instance, cjson.encode(entry))
  if verdict ~= 'go' then return false end
  open.queue = entry.candidates[entry.pick].queue
  local waited_ms = now - open.since
  make_ready(run, instance, open, now, ARGV[3])
  for _, field in ipairs({ run, instance, open.attempt, open.queue, waited_ms }) do reply[#reply + 1] = field end
  return true
end

for _ = 1, most do
  local member = redis.call('LPOP', KEYS[2])
  if not member then break end
  local run, instance = member:match('^([^|]*)|(.*)$')
  local open, entry, keys = waiting_at(run, instance)
  if open then let_through(run, instance, open, entry, keys, false) end
end

local function serve(scope)
  while #reply < most * 5 do
    local tenant, run, instance = first_in_line(scope)
    if not tenant then return redis.call('ZREM', KEYS[1], scope) end
    local open, entry, keys = waiting_at(run, instance)
    if not open then
      dequeue(scope, tenant, run, instance, false)
    else
      local call = entry.candidates[entry.pick]
      local gate = open_gate(scope, now, nil)
      refill(gate, now)
      local wait = opens_in(gate, costs_of(gate, call), now)
      if wait ~= 0 then return redis.call('ZADD', KEYS[1], now + (wait or 5000), scope) end
      -- It leaves the line either way: let through, or to wait for something else than this gate.
      dequeue(scope, tenant, run, instance, true)
      let_through(run, instance, open, entry, keys, true)
    end
  end
  redis.call('ZADD', KEYS[1], now, scope)
end

for _, scope in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do serve(scope) end
local next_due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if redis.call('EXISTS', KEYS[2]) == 1 then next_due = now end
if next_due then reply[1] = math.max(0, math.ceil(tonumber(next_due) - now)) end
return reply
