-- Put what a run is to keep of another one where it will look: receipts and values of instances.
-- KEYS 1 receipts (hash)  2 values (hash)  3 memos (hash): of the run that has ended  4 what is kept (hash)  5 its values (hash)
-- ARGV 1 ttl (s)  2 the run that has ended  3 the run that keeps them  4… instances
-- Reply: those that could not be kept, because a large value is not there any more
local ttl_s, from, to, lost = tonumber(ARGV[1]), 'orc:{' .. ARGV[2] .. '}:value:', 'orc:{' .. ARGV[3] .. '}:kept_value:', {}
local function put(instance)
  local receipt, value = redis.call('HGET', KEYS[1], instance), redis.call('HGET', KEYS[2], instance)
  if not receipt or not value then return false end
  if value == '' then
    if redis.call('COPY', from .. instance, to .. instance, 'REPLACE') == 0 then return false end
    redis.call('EXPIRE', to .. instance, ttl_s * 4)
  end
  -- One that was kept before says so itself, further on, and the later of two words counts.
  redis.call('HSET', KEYS[4], instance, '{"kept_from":"' .. ARGV[2] .. '",' .. receipt:match('^%d+ {(.*)$'))
  redis.call('HSET', KEYS[5], instance, value)
  local asked = redis.call('HGET', KEYS[3], instance .. '?')
  if asked then redis.call('HSET', KEYS[4], instance .. '?', asked) end
  return true
end

for i = 4, #ARGV do
  if not put(ARGV[i]) then lost[#lost + 1] = ARGV[i] end
end
redis.call('EXPIRE', KEYS[4], ttl_s)
redis.call('EXPIRE', KEYS[5], ttl_s)
return lost
