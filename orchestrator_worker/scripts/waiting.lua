-- Calls that wait at a gate, in fair order: the tenant served least comes first, of it the run served least, of that the oldest.
-- orc:waiting:<scope>                 zset: tenants, by calls let through
-- orc:waiting:<scope>|<tenant>        zset: runs, by calls let through
-- orc:waiting:<scope>|<tenant>|<run>  zset: instances, by their arrival (ms)
-- orc:agenda                          zset: scopes at which somebody waits, by when to look again (ms)
-- orc:again                           list: members whose turn it is to be looked at once more
-- channel orc:wake                    something on the agenda has become due earlier than the pumps believe

local function look_at(scope, at, ttl_s)
  local before = redis.call('ZSCORE', 'orc:agenda', scope)
  if before and tonumber(before) <= at then return end
  redis.call('ZADD', 'orc:agenda', at, scope)
  redis.call('EXPIRE', 'orc:agenda', ttl_s)
  redis.call('PUBLISH', 'orc:wake', scope)
end

-- A call that waits for something else than a gate is looked at once more.
local function look_once_more(member, ttl_s)
  redis.call('RPUSH', 'orc:again', member)
  redis.call('EXPIRE', 'orc:again', ttl_s)
  redis.call('PUBLISH', 'orc:wake', '')
end

-- Whoever comes new stands where the least served stands: waiting long ago earns no debt, and no credit.
local function join(key, member, ttl_s)
  if redis.call('ZSCORE', key, member) then return end
  local least = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  redis.call('ZADD', key, least[2] or 0, member)
  redis.call('EXPIRE', key, ttl_s)
end

local function enqueue(scope, tenant, run, instance, at, ttl_s)
  local tenants = 'orc:waiting:' .. scope
  local runs = tenants .. '|' .. tenant
  join(tenants, tenant, ttl_s)
  join(runs, run, ttl_s)
  redis.call('ZADD', runs .. '|' .. run, 'NX', at, instance)
  redis.call('EXPIRE', runs .. '|' .. run, ttl_s)
end

local function dequeue(scope, tenant, run, instance, served)
  local tenants = 'orc:waiting:' .. scope
  local runs = tenants .. '|' .. tenant
  redis.call('ZREM', runs .. '|' .. run, instance)
  if redis.call('EXISTS', runs .. '|' .. run) == 1 then
    if served then redis.call('ZINCRBY', runs, 1, run) end
  else
    redis.call('ZREM', runs, run)
  end
  if redis.call('EXISTS', runs) == 1 then
    if served then redis.call('ZINCRBY', tenants, 1, tenant) end
  else
    redis.call('ZREM', tenants, tenant)
  end
end

-- The next in fair order: tenant, run, instance; nil where nobody waits.
local function first_in_line(scope)
  local tenants = 'orc:waiting:' .. scope
  local tenant = redis.call('ZRANGE', tenants, 0, 0)[1]
  if not tenant then return nil end
  local run = redis.call('ZRANGE', tenants .. '|' .. tenant, 0, 0)[1]
  local instance = run and redis.call('ZRANGE', tenants .. '|' .. tenant .. '|' .. run, 0, 0)[1]
  if not instance then
    -- A key of it was lost; without this the line would stand still.
    if run then redis.call('ZREM', tenants .. '|' .. tenant, run) else redis.call('ZREM', tenants, tenant) end
    return first_in_line(scope)
  end
  return tenant, run, instance
end

local function anybody_waits(scope) return redis.call('EXISTS', 'orc:waiting:' .. scope) == 1 end
