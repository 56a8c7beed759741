-- Have a run begin with the values that the names of another one were set to.
-- KEYS 1 variables (hash)  2 versions (hash): of the run that has ended  3 variables (hash)  4 versions (hash): of the other
-- ARGV 1 ttl (s)  2 the run that has ended  3 the other
-- Reply: how many versions the latter begins with
local ttl_s, from, to = tonumber(ARGV[1]), 'orc:{' .. ARGV[2] .. '}:variable:', 'orc:{' .. ARGV[3] .. '}:variable:'
if redis.call('COPY', KEYS[1], KEYS[3], 'REPLACE') == 0 then return 0 end
redis.call('COPY', KEYS[2], KEYS[4], 'REPLACE')
redis.call('EXPIRE', KEYS[3], ttl_s)
redis.call('EXPIRE', KEYS[4], ttl_s)
local versions = redis.call('HKEYS', KEYS[4])
for _, version in ipairs(versions) do
  if redis.call('COPY', from .. version, to .. version, 'REPLACE') == 1 then redis.call('EXPIRE', to .. version, ttl_s * 4) end
end
return #versions
