-- A provider's gate: what its limits let through now, and the weather. Time is in ms, limits are per minute.
-- orc:gate:<scope>  hash, no run's: `state` JSON as below, `config` and `set` JSON of limits (from workers' files; by a person,
--   which wins). Its life is renewed with every call.
-- state: at       when the levels were last raised
--        level    {dimension: what may be used now}; below zero after a call that was larger than what was there
--        held     {calls, dimension…: reserved by calls that have not ended}
--        told     {dimension: limit in the answers' headers}     rate  requests a minute learned from refusals
--        bucket   {dimension: true if the provider refills steadily, so that what it says remains may be used at once}
--        window   calls at a time while no limit of requests is known: grows with each answer
--        closed_until, closed_for (words), probe (member): the weather; storms: refusals in a row; bad: failures in a row
--        ok, ok_before, minute, first: calls in this minute and the one before that were not refused, for the learned rate
--        passed   {dimension: let through so far and not given back}: what headers cannot know yet
--        seen     {calls, ms, span, believed}: what the learned rate was measured by, until the gate opens again
--        ratio    input tokens counted / estimated, smoothed; worst: the largest seen
--        output, seconds   of a call, smoothed; longest: most output tokens seen
local DIMENSIONS = { 'requests', 'tokens', 'input_tokens', 'output_tokens' }
local PACED = 0.01     -- share of a limit that may go out at once where the provider does not say that more may
local MARGIN = 0.99    -- of a limit that is kept by pacing: with PACED, no minute holds more than the limit
local FIRST_WINDOW = 16
local FAILURES_IN_A_ROW, CIRCUIT_MS = 5, 30000
local SHORTEST_STORM_MS = 50
local LONGEST_STORM_MS = 60000
local LEAST = 60               -- requests a minute that a first refusal teaches at least
local FEW, SOON_MS = 10, 5000  -- calls, and time since the last refusal, from which no rate can be told

local function open_gate(scope, now, config, ttl_s)
  local key = 'orc:gate:' .. scope
  local state, stored, set = unpack(redis.call('HMGET', key, 'state', 'config', 'set'))
  local gate = state and cjson.decode(state) or {
    at = now, level = {}, held = { calls = 0 }, told = {}, bucket = {}, window = FIRST_WINDOW, closed_until = 0,
    closed_for = '', probe = '', storms = 0, bad = 0, ok = 0, ok_before = 0, minute = now, first = 0, ratio = 1, worst = 0,
    output = 0, seconds = 0, longest = 0, passed = {},
  }
  gate.passed = gate.passed or {}
  if config and config ~= stored then
    redis.call('HSET', key, 'config', config)
    keep(key, ttl_s)
    stored = config
  end
  gate.scope, gate.config, gate.set = scope, cjson.decode(stored or '{}'), cjson.decode(set or '{}')
  return gate
end

local function save_gate(gate, ttl_s)
  local key, scope, config, set = 'orc:gate:' .. gate.scope, gate.scope, gate.config, gate.set
  gate.scope, gate.config, gate.set = nil, nil, nil
  redis.call('HSET', key, 'state', cjson.encode(gate))
  redis.call('EXPIRE', key, ttl_s)
  redis.call('SADD', 'orc:scopes', scope)
  redis.call('EXPIRE', 'orc:scopes', ttl_s)
  gate.scope, gate.config, gate.set = scope, config, set
end

-- What one dimension allows a minute; nil where nothing is known.
local function allowed(gate, dimension)
  local limit = gate.set[dimension]
  if not limit then
    limit = gate.config[dimension]
    local told = gate.told[dimension]
    if told and (not limit or told < limit) then limit = told end
  end
  if dimension == 'requests' and gate.rate and (not limit or gate.rate < limit) then limit = gate.rate end
  return limit
end

local function most_at_a_time(gate)
  local limit = gate.set.in_flight or gate.config.in_flight
  if not limit and not allowed(gate, 'requests') then limit = gate.window end
  return limit
end

local function at_once(gate, dimension, limit) return math.max(1, gate.bucket[dimension] and limit or limit * PACED) end
local function pace(gate, dimension, limit) return (gate.bucket[dimension] and limit or limit * MARGIN) / 60000 end

local function refill(gate, now)
  local passed = math.max(0, now - gate.at)
  gate.at = math.max(now, gate.at)
  for _, dimension in ipairs(DIMENSIONS) do
    local limit = allowed(gate, dimension)
    if limit then
      local most = at_once(gate, dimension, limit)
      -- Calls that went out before the limit was known have used it all the same.
      local level = gate.level[dimension] or math.min(most, dimension == 'requests' and most - gate.ok or most)
      gate.level[dimension] = math.min(most, level + passed * pace(gate, dimension, limit))
    end
  end
end

-- What a use takes off the level. Of amounts so large that only few of them fit into a minute, just as many go in a minute.
local function charge(gate, dimension, amount)
  local limit = allowed(gate, dimension)
  if not limit or gate.bucket[dimension] or amount <= at_once(gate, dimension, limit) then return amount end
  return limit * MARGIN / math.max(1, math.floor(limit / amount))
end

-- What a call will use, as far as anybody can tell before it.
local function costs_of(gate, call)
  local input = math.ceil(call.input * gate.ratio)
  local output = call.output or (gate.output > 0 and math.ceil(gate.output * 1.2) or 500)
  return { requests = 1, tokens = input + output, input_tokens = input, output_tokens = output }
end

-- ms until the gate lets such a call through; nil: not before another one has ended.
local function opens_in(gate, costs, now)
  if now < gate.closed_until then return gate.closed_until - now end
  -- Once the weather's time is over, one call probes whether it has passed, whatever the levels say.
  if gate.closed_until > 0 then return gate.probe == '' and 0 or nil end
  local most = most_at_a_time(gate)
  if most and gate.held.calls >= most then return nil end
  local wait = 0
  for _, dimension in ipairs(DIMENSIONS) do
    local limit = allowed(gate, dimension)
    if limit then
      local missing = math.min(costs[dimension], at_once(gate, dimension, limit)) - gate.level[dimension]
      if missing > 1e-6 then wait = math.max(wait, math.ceil(missing / pace(gate, dimension, limit))) end
    end
  end
  return wait
end

local function count_call(gate, now)
  if gate.first == 0 then gate.first = now end
  if now - gate.minute >= 60000 then
    gate.ok_before = now - gate.minute < 120000 and gate.ok or 0
    gate.ok, gate.minute = 0, now
  end
  gate.ok = gate.ok + 1
end

-- The call keeps when it was let through and what had been by then: its headers will speak of that moment.
local function reserve(gate, member, call, now)
  call.passed, call.at = {}, now
  for _, dimension in ipairs(DIMENSIONS) do
    local cost = call.costs[dimension]
    if gate.level[dimension] then gate.level[dimension] = gate.level[dimension] - charge(gate, dimension, cost) end
    gate.held[dimension] = (gate.held[dimension] or 0) + cost
    gate.passed[dimension] = (gate.passed[dimension] or 0) + cost
    call.passed[dimension] = gate.passed[dimension]
  end
  gate.held.calls = gate.held.calls + 1
  count_call(gate, now)
  if gate.closed_until > 0 then gate.probe = member end
end

local function close_gate(gate, now, wait_ms, words)
  gate.closed_until = math.max(gate.closed_until, now + wait_ms)
  gate.closed_for = words
end

local function open_again(gate)
  gate.closed_until, gate.closed_for, gate.storms = 0, '', 0
end

local function count_answer(gate, now)
  gate.window = gate.window + 1
  -- A learned rate is tried a little higher every ten seconds, until it is what the provider says anyway.
  if gate.rate and now - gate.learned > 10000 then
    gate.rate, gate.learned = gate.rate * 1.03 + 1, now
    local known = gate.set.requests or gate.config.requests or gate.told.requests
    if known and gate.rate >= known then gate.rate = nil end
  end
end

local function measure(gate)
  local believed, measured = gate.seen.believed, math.max(1, gate.seen.calls * 60000 / gate.seen.ms)
  -- A first refusal may come before any answer; what cannot be a minute's limit is halved soon enough.
  gate.rate = believed and math.max(believed / 2, math.min(believed * 0.9, measured)) or math.max(LEAST, measured)
end

-- More of the calls that were counted were refused, or the provider stayed closed for longer than it had said: measured better.
local function measure_again(gate, refused, closed_ms)
  if not gate.seen or not gate.rate then return end
  gate.seen.calls = gate.seen.calls - refused
  gate.seen.ms = math.max(gate.seen.ms, gate.seen.span + math.min(60000, closed_ms))
  measure(gate)
end

-- A refusal although the gate was open: the provider allows less than was believed.
local function learn_rate(gate, now, wait_ms)
  -- What was there to be used at once is gone, as the provider sees it.
  gate.level.requests = 0
  if gate.rate and gate.ok < FEW and now - gate.learned < SOON_MS then return end
  local before = gate.ok_before * math.max(0, 1 - (now - gate.minute) / 60000)
  local span = math.min(60000, gate.first > 0 and now - gate.first or 0)
  gate.seen = { calls = gate.ok + before, ms = math.max(1000, span + wait_ms), span = span, believed = allowed(gate, 'requests') }
  measure(gate)
  -- Measured anew from here: what a bucket gave at once before it was empty says nothing of how it is refilled.
  gate.learned, gate.first, gate.minute, gate.ok, gate.ok_before = now, now, now, 0, 0
end

local function meet_weather(gate, report, now)
  local was_open = now >= gate.closed_until
  gate.storms = gate.storms + (was_open and 1 or 0)
  local wait_ms = report.wait_ms and math.max(SHORTEST_STORM_MS, report.wait_ms) or math.min(LONGEST_STORM_MS, 1000 * 2 ^ math.max(0, gate.storms - 1))
  if was_open and report.kind == 'rate_limit' and not report.probe then learn_rate(gate, now, wait_ms) end
  close_gate(gate, now, wait_ms, report.words or report.kind)
end

local UNANSWERED = { timeout = true, connection = true, server = true, truncated = true, bad_response = true }

-- Believe what an answer's headers say of the limits. They say it of the moment at which the provider met the call: what was
-- let through since is taken off what remained. What has come since may have been added; what was under way may have come later.
local function believe(gate, call, limits, now)
  for dimension, said in pairs(limits) do
    if said.limit then
      gate.told[dimension] = said.limit
      if said.remaining and said.reset and said.remaining >= said.limit / 2 then
        gate.bucket[dimension] = said.reset <= 1.25 * (said.limit - said.remaining) * 60 / said.limit + 1.5
      end
    end
    local limit = allowed(gate, dimension)
    if said.remaining and limit then
      local since = gate.passed[dimension] - (call.passed[dimension] or 0)
      local left = said.remaining - math.max(0, since)
      local most = left + math.max(0, now - call.at) * pace(gate, dimension, limit)
      local least = left - (dimension == 'requests' and gate.held.calls or gate.held[dimension] or 0)
      local level = gate.level[dimension]
      if gate.bucket[dimension] and limit == said.limit and least > (level or 0) then
        gate.level[dimension] = least
      elseif level and most < level then
        gate.level[dimension] = most
      end
    end
  end
end

local function learn_sizes(gate, call, report)
  if report.input and call.input > 0 then
    local ratio = report.input / call.input
    gate.ratio = gate.worst == 0 and ratio or gate.ratio * 0.9 + ratio * 0.1
    gate.worst = math.max(gate.worst, ratio)
  end
  if report.output then
    gate.output = gate.longest == 0 and report.output or gate.output * 0.9 + report.output * 0.1
    gate.longest = math.max(gate.longest, report.output)
  end
  if report.seconds then gate.seconds = gate.seconds == 0 and report.seconds or gate.seconds * 0.9 + report.seconds * 0.1 end
end

-- A call has ended. Without a report nobody knows how: what it may have used stays used.
local function pass_out(gate, member, call, report, now)
  local costs = call.costs
  for _, dimension in ipairs(DIMENSIONS) do gate.held[dimension] = math.max(0, (gate.held[dimension] or 0) - costs[dimension]) end
  gate.held.calls = math.max(0, gate.held.calls - 1)
  local probing = gate.probe == member
  if probing then gate.probe = '' end
  if not report then return end
  local used = not report.sent and { requests = 0, tokens = 0, input_tokens = 0, output_tokens = 0 }
    or report.input and { requests = 1, tokens = report.input + report.output, input_tokens = report.input, output_tokens = report.output }
    or costs
  local refused = report.kind == 'rate_limit' or report.kind == 'overload'
  for _, dimension in ipairs(DIMENSIONS) do
    if gate.level[dimension] then
      gate.level[dimension] = gate.level[dimension] + charge(gate, dimension, costs[dimension]) - charge(gate, dimension, used[dimension])
    end
    gate.passed[dimension] = (gate.passed[dimension] or 0) - costs[dimension] + (refused and 0 or used[dimension])
  end
  local uncounted = refused or not report.sent
  if uncounted and call.at > (gate.learned or 0) then gate.ok = math.max(0, gate.ok - 1) end
  if uncounted and call.at <= (gate.learned or 0) then measure_again(gate, 1, 0) end
  if not report.sent then return end
  report.probe = probing
  if refused then
    meet_weather(gate, report, now)
  elseif UNANSWERED[report.kind] then
    gate.bad = gate.bad + 1
    if probing or gate.bad >= FAILURES_IN_A_ROW then
      close_gate(gate, now, CIRCUIT_MS, gate.bad .. ' calls in a row failed, the last with ' .. report.kind)
      gate.circuit = true
    end
  else
    gate.bad, gate.circuit = 0, nil
    if probing then
      if gate.storms > 1 then measure_again(gate, 0, call.at - (gate.learned or call.at)) end
      gate.seen = nil
      open_again(gate)
    end
    count_answer(gate, now)
    learn_sizes(gate, call, report)
  end
  believe(gate, call, report.limits or {}, now)
end
