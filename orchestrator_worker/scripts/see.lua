-- Read variables that people and programs have set while a run goes on, as an instance sees them now.
-- orc:{run}:variables             hash: `scope/name` -> its version. The scope is empty for all of the run, `~` for all of
--                                 it and a time, else an instance, or the item or pass (`each[2]`) in which it is seen
-- orc:{run}:versions              hash: `scope/name@version` -> `set at (ms)|until (ms; 0: for good)|JSON`
-- orc:{run}:variable:<version>    string: a value that is large (zlib).
-- KEYS 1 record (hash); the run's variables are named from the argument
-- ARGV 1 run  2 instance (empty: the run itself)  3… names (`*`: all)
-- Reply: flat: name, version, `set at (ms)|until (ms)|JSON`, …
if not redis.call('HGET', KEYS[1], 'variables') then return {} end
local run, instance, now = ARGV[1], ARGV[2], now_ms()

-- The scopes that an instance sees, the one that goes before the others first.
local function scopes_around()
  local scopes = { '~', instance }
  for around in instance:gmatch('()%.') do table.insert(scopes, 3, instance:sub(1, around - 1)) end
  if instance ~= '' then scopes[#scopes + 1] = '' end
  return scopes
end

local key, scopes, seen, told = 'orc:{' .. run .. '}', scopes_around(), {}, {}
local function see(name)
  if told[name] then return end
  told[name] = true
  for _, scope in ipairs(scopes) do
    local field = scope .. '/' .. name
    local version = redis.call('HGET', key .. ':variables', field)
    local entry = version and redis.call('HGET', key .. ':versions', field .. '@' .. version)
    local till = entry and tonumber(entry:match('^%d+|(%d+)|'))
    if till and (till == 0 or now < till) then
      seen[#seen + 1], seen[#seen + 2], seen[#seen + 3] = name, field .. '@' .. version, entry
      return
    end
  end
end
for i = 3, #ARGV do
  if ARGV[i] ~= '*' then
    see(ARGV[i])
  else
    for _, field in ipairs(redis.call('HKEYS', key .. ':variables')) do see(field:match('/(.*)$')) end
  end
end
return seen
