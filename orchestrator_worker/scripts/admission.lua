-- Letting a call of a model through: the cache, then money, then the provider's limits.
-- orc:{run}:calls           hash: instance -> JSON of its call: `candidates` (each {scope, queue, model, input, output, most, longest,
--                           usd {input, output}, config}), `budgets`, `tenant`, `tags`, `at`, `digest`, `life_s`, and what became of it:
--                           `state` (waiting, admitted, cached, refused), `since`, `pick`, `costs`, `money`, `granted`, `why`, `words`
-- orc:cache:<digest>        string: a reply, for as long as its step allows
-- orc:flight:<digest>       string: the member whose call is under way; :waiting  set of members that wait for its answer
-- orc:short:<budget>        zset: members that wait for money

local function wait_for(entry, why, words, delay_ms)
  entry.state, entry.why, entry.words, entry.delay_ms = 'waiting', why, words, delay_ms
  return 'wait'
end

-- Its message goes out, so that its step can fail. Others that wait for the same money hear of it.
local function refuse(entry, budget, words, ttl_s)
  entry.state, entry.words = 'refused', 'budget ' .. budget.id .. ' does not pay for it: ' .. words
  wake_short(budget.id, 4, ttl_s)
  return 'go'
end

local function in_flight_elsewhere(entry, member, ttl_s)
  local flight = 'orc:flight:' .. entry.digest
  local leader = redis.call('GET', flight)
  if leader and leader ~= member then
    redis.call('SADD', flight .. ':waiting', member)
    redis.call('EXPIRE', flight .. ':waiting', ttl_s)
    return true
  end
  redis.call('SET', flight, member, 'EX', ttl_s)
  return false
end

local function go_short(run, instance, entry, budget, words, ttl_s)
  redis.call('ZADD', 'orc:short:' .. budget.id, entry.at, run .. '|' .. instance)
  redis.call('EXPIRE', 'orc:short:' .. budget.id, ttl_s)
  return wait_for(entry, 'budget', budget.id .. ': ' .. words)
end

-- 'go' (admitted, answered from the cache, or refused for good) or 'wait'. `in_line`: it is this call's turn.
local function consider(run, instance, entry, now, ttl_s, in_line)
  local member = run .. '|' .. instance
  if entry.digest then
    if redis.call('EXISTS', 'orc:cache:' .. entry.digest) == 1 then
      entry.state = 'cached'
      return 'go'
    end
    if in_flight_elsewhere(entry, member, ttl_s) then
      return wait_for(entry, 'cache', 'the same request is under way in ' .. redis.call('GET', 'orc:flight:' .. entry.digest))
    end
  end
  for pick = entry.pick, #entry.candidates do
    local call, last = entry.candidates[pick], pick == #entry.candidates
    local gate = open_gate(call.scope, now, call.config, ttl_s)
    refill(gate, now)
    local money, amount, granted, budget, words = affords(entry.budgets, call, gate)
    if money == 'later' then return go_short(run, instance, entry, budget, words, ttl_s) end
    if money == 'never' and (budget.on ~= 'cheaper' or last) then
      if budget.on == 'pause' then return go_short(run, instance, entry, budget, words, ttl_s) end
      return refuse(entry, budget, words, ttl_s)
    end
    if money == 'fits' and (last or not gate.circuit or now >= gate.closed_until) then
      entry.pick = pick
      call.costs = costs_of(gate, call)
      local wait = opens_in(gate, call.costs, now)
      if wait ~= 0 or (not in_line and anybody_waits(call.scope)) then
        enqueue(call.scope, entry.tenant, run, instance, entry.at, ttl_s)
        save_gate(gate, ttl_s)
        look_at(call.scope, now + (wait or 5000), ttl_s)
        return wait_for(entry, 'limit', gate.closed_for, wait)
      end
      reserve(gate, member, call, now)
      save_gate(gate, ttl_s)
      reserve_money(entry.budgets, amount, ttl_s)
      entry.state, entry.since, entry.money, entry.granted = 'admitted', now, amount, granted
      return 'go'
    end
  end
end

-- What the call has used, for the totals: by tenant, by tag and all together, a hash a day.
-- orc:ledger:<days since 1970>  hash: `<kind>|<name>|<model>|<what>` -> sum; what: calls, input, output, nano (USD), unpriced
local LEDGER_S = 400 * 86400
local function enter_in_ledger(entry, call, report, now)
  local key = 'orc:ledger:' .. math.floor(now / 86400000)
  local places = { 'all||', 'tenant|' .. entry.tenant .. '|' }
  for _, tag in ipairs(entry.tags) do places[#places + 1] = 'tag|' .. tag .. '|' end
  for _, place in ipairs(places) do
    local function add(what, amount)
      if amount and amount ~= 0 then redis.call('HINCRBY', key, place .. call.model .. '|' .. what, amount) end
    end
    add('calls', 1)
    add('input', report.input)
    add('output', report.output)
    add('nano', report.nano)
    if not report.nano then add('unpriced', 1) end
  end
  count('model|' .. call.model .. '|calls', 1)
  for _, what in ipairs({ 'input', 'output', 'nano' }) do
    if (report[what] or 0) > 0 then count('model|' .. call.model .. '|' .. what, report[what]) end
  end
  redis.call('EXPIRE', key, LEDGER_S)
end

-- What a step's calls used, for the next estimate of its pipeline: smoothed, and the largest seen.
-- orc:history:<pipeline>:<step>  hash: n; input, output, nano, seconds; each of these with _max
local function enter_in_history(entry, report)
  local key = entry.history
  local n = redis.call('HINCRBY', key, 'n', 1)
  for _, what in ipairs({ 'input', 'output', 'nano', 'seconds' }) do
    local found = report[what]
    if found then
      local mean, most = unpack(redis.call('HMGET', key, what, what .. '_max'))
      local share = math.max(0.1, 1 / n)
      redis.call('HSET', key, what, tonumber(mean or found) * (1 - share) + found * share,
        what .. '_max', math.max(tonumber(most or found), found))
    end
  end
  redis.call('EXPIRE', key, LEDGER_S)
end

-- Followers of a call that has ended are looked at again: they find its answer, or one of them makes the call.
local function land(digest, member, reply, life_s, ttl_s)
  local flight = 'orc:flight:' .. digest
  if reply then redis.call('SET', 'orc:cache:' .. digest, reply, 'EX', life_s) end
  if redis.call('GET', flight) ~= member then return end
  redis.call('DEL', flight)
  for _, follower in ipairs(redis.call('SMEMBERS', flight .. ':waiting')) do look_once_more(follower, ttl_s) end
  redis.call('DEL', flight .. ':waiting')
end

-- An instance leaves its gate. `report` is JSON of how the call ended, empty where nobody knows: then what it may have
-- cost counts as spent.
local function leave(run, instance, report_json, now, ttl_s)
  local calls = keys_of(run).calls
  local text = redis.call('HGET', calls, instance)
  if not text then return end
  local entry, member = cjson.decode(text), run .. '|' .. instance
  local report = report_json ~= '' and cjson.decode(report_json) or nil
  local call = entry.candidates[entry.pick]
  if entry.state == 'waiting' then
    dequeue(call.scope, entry.tenant, run, instance, false)
    for _, budget in ipairs(entry.budgets) do redis.call('ZREM', 'orc:short:' .. budget.id, member) end
  end
  if entry.state == 'admitted' then
    local gate = open_gate(call.scope, now, call.config, ttl_s)
    refill(gate, now)
    pass_out(gate, member, call, report, now)
    save_gate(gate, ttl_s)
    local sent = not report or report.sent
    settle_money(entry.budgets, entry.money, not sent and 0 or report and report.nano or entry.money, ttl_s)
    if report and sent then enter_in_ledger(entry, call, report, now) end
    if report and report.kind == 'ok' then enter_in_history(entry, report) end
    if anybody_waits(call.scope) then look_at(call.scope, now, ttl_s) end
  end
  -- Even if it comes back: it may ask for something else then, another model perhaps.
  if entry.digest then land(entry.digest, member, report and report.reply, entry.life_s, ttl_s) end
  redis.call('HDEL', calls, instance)
end

local function tell_waiting(events, instance, attempt, entry, now, ttl_s)
  local scope = entry.candidates[entry.pick].scope
  local data = { reason = entry.why, scope = scope, words = entry.words, delay_ms = entry.delay_ms }
  event(events, ttl_s, 'step_parked', now, instance, attempt, cjson.encode(data))
end

-- Whether a call that was let through must stay out after all, because the weather came up meanwhile, or because its
-- message came so late that others have used what it had reserved: it goes back to the head of its line then.
local STALE_MS = 5000
local function stays_out(run, instance, text, open, now, ttl_s, look_again_ms)
  local entry = cjson.decode(text)
  if entry.state ~= 'admitted' then return false end
  local call, member = entry.candidates[entry.pick], run .. '|' .. instance
  local gate = open_gate(call.scope, now, call.config, ttl_s)
  local closed = gate.closed_until > 0 and gate.probe ~= member
  if not closed and now - entry.since < STALE_MS then return false end
  refill(gate, now)
  pass_out(gate, member, call, { sent = false }, now)
  local keys = keys_of(run)
  if not closed and opens_in(gate, call.costs, now) == 0 then
    reserve(gate, member, call, now)
    save_gate(gate, ttl_s)
    redis.call('HSET', keys.calls, instance, cjson.encode(entry))
    return false
  end
  save_gate(gate, ttl_s)
  settle_money(entry.budgets, entry.money, 0, ttl_s)
  entry.at = entry.at - 3600000
  enqueue(call.scope, entry.tenant, run, instance, entry.at, ttl_s)
  look_at(call.scope, math.max(now, gate.closed_until), ttl_s)
  wait_for(entry, 'limit', gate.closed_for, math.max(0, gate.closed_until - now))
  redis.call('HSET', keys.calls, instance, cjson.encode(entry))
  open.state, open.since = 'waiting', now
  put_instance(keys.instances, instance, open)
  redis.call('ZADD', 'orc:timetable', now + look_again_ms, member)
  tell_waiting(keys.events, instance, open.attempt, entry, now, ttl_s)
  return true
end
