-- What a run keeps of the one that it was forked from: receipts and values of instances, put there before it is submitted
-- (see keep.lua). An instance that is kept is settled with them when its turn comes, and not performed.
-- orc:{run}:kept         hash: instance -> receipt (JSON); `instance?` -> what it was asked for, if another step asked for it
-- orc:{run}:kept_values  hash: instance -> value (JSON), or empty where it is in `orc:{run}:kept_value:<instance>`

-- The receipt that an instance keeps; nil where it is to be performed. One that another step asks for is kept only if the
-- same is asked for again.
local function kept_receipt(run, instance)
  local keys = keys_of(run)
  local receipt, asked = unpack(redis.call('HMGET', keys.kept, instance, instance .. '?'))
  if not receipt or (asked and asked ~= redis.call('HGET', keys.memos, instance .. '?')) then return nil end
  return receipt
end
