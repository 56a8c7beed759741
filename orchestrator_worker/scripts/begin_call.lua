-- needs: instances
-- Record that an attempt calls its tool now, and whether that may be done twice: of tools that only their callers know.
-- In the instance it takes the place of the claim's token, for which nobody asks any more.
-- KEYS 1 instances (hash)
-- ARGV 1 ttl (s)  2 instance  3 attempt  4 may be done twice ('again', else 'once')
-- Reply: 1 recorded · 0 the attempt does not hold its instance any more, and is to call nothing
local text = redis.call('HGET', KEYS[1], ARGV[2])
local open = text and parsed_instance(text)
if not open or not held(open.state) or open.attempt ~= tonumber(ARGV[3]) then return 0 end
open.token = ARGV[4]
put_instance(KEYS[1], ARGV[2], open)
keep(KEYS[1], tonumber(ARGV[1]))
return 1
