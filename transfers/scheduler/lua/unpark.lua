-- unpark: the node waits no longer.
--
-- ARGV  now, seed, node, epoch
-- Reply what was in its inbox: a list of assignments as JSON; "stale" for an unknown node or epoch
-- Cost  O(assignments in the inbox)

local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return 'stale'
end
set_parked(i, 0)
local waiting = call('LRANGE', inbox_key(i), 0, -1)
call('DEL', inbox_key(i))
return '[' .. table.concat(waiting, ',') .. ']'
