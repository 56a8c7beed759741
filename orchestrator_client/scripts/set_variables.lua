-- Give names of a run new values, all or none: steps that start from now on read them.
-- KEYS 1 record (hash; `variables`: how many versions were set)  2 variables (hash)  3 versions (hash): as see.lua
--      has them  4 events (stream)
-- ARGV 1 ttl (s)  2 run  3 most names  4 versions that are kept of a name
--      5 who  6 what the audit log says of it (JSON)
--      7… `scope/name`, how long it holds (ms; 0: for good), entry (JSON), event data (JSON, an object that is not
--      empty), value if it is large (zlib; empty: it is in the entry), …
-- Reply: {'set', version, …} · {'full'} these would be too many names · {'ended', state} nothing would read them
--      · {'no run'}
local ttl_s, run, state = tonumber(ARGV[1]), ARGV[2], redis.call('HGET', KEYS[1], 'state')
if not state then return { 'no run' } end
if state ~= 'submitted' and state ~= 'running' then return { 'ended', state } end

local new, told = 0, {}
for i = 7, #ARGV, 5 do
  if not told[ARGV[i]] and redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then new = new + 1 end
  told[ARGV[i]] = true
end
if new > 0 and redis.call('HLEN', KEYS[2]) + new > tonumber(ARGV[3]) then return { 'full' } end

local now, reply = now_ms(), { 'set' }
for i = 7, #ARGV, 5 do
  local name, holds_ms, large = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 4]
  local version = redis.call('HINCRBY', KEYS[2], name, 1)
  local oldest = name .. '@' .. (version - tonumber(ARGV[4]))
  local value = 'orc:{' .. run .. '}:variable:' .. name .. '@' .. version
  local till = holds_ms > 0 and now + holds_ms or 0
  redis.call('HSET', KEYS[3], name .. '@' .. version, string.format('%.0f|%.0f|', now, till) .. ARGV[i + 2])
  if large ~= '' then redis.call('SET', value, large, 'EX', ttl_s * 4) end
  if redis.call('HDEL', KEYS[3], oldest) == 1 then redis.call('DEL', 'orc:{' .. run .. '}:variable:' .. oldest) end
  event(KEYS[4], ttl_s, 'variable_set', now, '', 0, '{"version":' .. version .. ',' .. ARGV[i + 3]:sub(2))
  reply[#reply + 1] = version
end
redis.call('HINCRBY', KEYS[1], 'variables', #reply - 1)
audit(now, 'set', run, ARGV[5], ARGV[6])
keep(KEYS[2], ttl_s)
keep(KEYS[3], ttl_s)
return reply
