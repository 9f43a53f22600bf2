-- leave: a node says goodbye, or is taken out: its leases are freed and its copies discounted at once.
--
-- ARGV  now, seed, node, state ("left" or "dead"), why
-- Reply 1, or 0 when there is no such node
-- Cost  O(leases + shards held)

local i = index_of(ARGV[3])
if not i then
  return 0
end
local state = N[i]._state
if state ~= 'live' and state ~= 'draining' then
  return 1
end
call('ZREM', P .. 'seen', i)
local touched, sources = bury(i, ARGV[4], ARGV[5])
event(ARGV[4] == 'left' and 'node_left' or 'node_dead', 'node', ARGV[3], 'why', ARGV[5])
rematch_after(touched, sources)
return 1
