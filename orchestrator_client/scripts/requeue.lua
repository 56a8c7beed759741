-- Put a dead letter back into its queue: both at once, so that it is never in neither, and never in both.
-- KEYS 1 orc:dead (stream)  2 the queue's list
-- ARGV 1 the letter's id  2 who  3 for the audit log (JSON)
-- Reply: 1 done · 0 no such letter · -1 it was not kept whole
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not found then return 0 end
local fields = found[2]
for i = 1, #fields, 2 do
  if fields[i] == 'message' then
    redis.call('LPUSH', KEYS[2], fields[i + 1])
    redis.call('XDEL', KEYS[1], ARGV[1])
    audit(now_ms(), 'requeue', '', ARGV[2], ARGV[3])
    return 1
  end
end
return -1
