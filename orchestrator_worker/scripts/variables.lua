-- Names that people and programs set while a run goes on: what an instance sees of them.
-- orc:{run}:variables             hash: `scope/name` -> its version. The scope is empty for all of the run, `~` for all of
--                                 it and a time, else an instance, or the item or pass (`each[2]`) in which it is seen
-- orc:{run}:versions              hash: `scope/name@version` -> `set at (ms)|until (ms; 0: for good)|JSON`
-- orc:{run}:variable:<version>    string: a value that is large (zlib)

-- The scopes that an instance sees, the one that goes before the others first.
local function scopes_around(instance)
  local scopes = { '~', instance }
  for around in instance:gmatch('()%.') do table.insert(scopes, 3, instance:sub(1, around - 1)) end
  if instance ~= '' then scopes[#scopes + 1] = '' end
  return scopes
end

-- Flat: name, version, its entry, … of those of the names that were set. The name `*` stands for all.
local function seen_variables(run, instance, names, now)
  local key, seen, told = 'orc:{' .. run .. '}', {}, {}
  local scopes = scopes_around(instance)
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
  for _, name in ipairs(names) do
    if name ~= '*' then
      see(name)
    else
      for _, field in ipairs(redis.call('HKEYS', key .. ':variables')) do see(field:match('/(.*)$')) end
    end
  end
  return seen
end
