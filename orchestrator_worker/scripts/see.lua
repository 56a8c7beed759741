-- needs: variables
-- Read variables as an instance sees them now.
-- KEYS 1 record (hash); the run's variables are named from the argument
-- ARGV 1 run  2 instance (empty: the run itself)  3… names (`*`: all)
-- Reply: flat: name, version, `set at (ms)|until (ms)|JSON`, …
if not redis.call('HGET', KEYS[1], 'variables') then return {} end
local names = {}
for i = 3, #ARGV do names[#names + 1] = ARGV[i] end
return seen_variables(ARGV[1], ARGV[2], names, now_ms())
