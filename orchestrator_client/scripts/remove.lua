-- needs: instances family
-- Remove all that the store has of a run that has ended, and of the runs that it has started.
-- KEYS 1 record (hash)
-- ARGV 1 run  2 who  3 how keys of Celery's chords begin  4 those of its results
-- Reply: {'removed', run, …} · {'open', run} that one has not ended · {'below', run} that one waits for it · {'none'} no such run
local run, who, now, runs = ARGV[1], ARGV[2], now_ms(), {}
local state, above = unpack(redis.call('HMGET', KEYS[1], 'state', 'parent'))
if not state then return { 'none' } end
if above and is_open(redis.call('HGET', keys_of(above).record, 'state')) then return { 'below', above } end

-- The run and all below it, each before those that it has started; one that has not ended, if there is one.
local function gather(each)
  if is_open(redis.call('HGET', keys_of(each).record, 'state')) then return each end
  runs[#runs + 1] = each
  for _, child in ipairs(redis.call('HKEYS', keys_of(each).children)) do
    local open = gather(child)
    if open then return open end
  end
end

local function remove_large(hash, prefix, every)
  local fields = redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    if every or fields[i + 1] == '' then redis.call('DEL', prefix .. fields[i]) end
  end
end

local function remove(each)
  local key, chord = keys_of(each).record, ARGV[3] .. each
  remove_large(key .. ':values', key .. ':value:', false)
  remove_large(key .. ':kept_values', key .. ':kept_value:', false)
  remove_large(key .. ':versions', key .. ':variable:', true)
  for _, part in ipairs(RUN_PARTS) do redis.call('DEL', key .. part) end
  for _, part in ipairs({ '.s', '.t', '.j', '.d', '.c' }) do redis.call('DEL', chord .. part) end
  redis.call('DEL', ARGV[4] .. each, 'orc:budget:run:' .. each, 'orc:short:run:' .. each)
  redis.call('ZREM', 'orc:runs', each)
  redis.call('ZREM', 'orc:deliveries', each)
  redis.call('ZREM', 'orc:timetable', each .. '|')
end

local open = gather(run)
if open then return { 'open', open } end
for _, each in ipairs(runs) do remove(each) end
audit(now, 'rm', run, who, '{}')
table.insert(runs, 1, 'removed')
return runs
