-- Have the text of a run's model calls streamed: of those that start from now on.
-- KEYS 1 record (hash)
-- ARGV none
-- Reply: 1 · 0 no such run
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'deltas', '1')
return 1
