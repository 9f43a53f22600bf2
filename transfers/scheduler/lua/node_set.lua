-- node_set: an operator changes a node: draining, slot caps, an order for it.
--
-- ARGV  now, seed, node, what ("draining" | "cap_up" | "cap_down" | "cap_gcs" | "order"), value
-- Reply 1, or 0 when there is no such node
-- Cost  that of one match

coordinator_only()
local i = index_of(ARGV[3])
if not i then
  return 0
end
local n, what, value = N[i], ARGV[4], ARGV[5]
if what == 'order' then
  for_heartbeat(i, 'orders', value)
elseif what == 'draining' then
  call('HSET', node_key(i), 'draining', value)
  if n._state == 'live' or n._state == 'draining' then
    change_node(i, 'state', value == '1' and 'draining' or 'live')
  end
else
  call('HSET', node_key(i), what, value)
  change_node(i, what:sub(5) .. '_max', tonumber(value))
end
set_uploader(i)
wake_for_uploader(i)
return 1
