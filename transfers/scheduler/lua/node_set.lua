-- node_set: an operator changes a node: draining, slot caps, an order for it.
--
-- ARGV  now, seed, node, what ("draining" | "cap_up" | "cap_down" | "cap_gcs" | "order"), value
-- Reply 1, or 0 when there is no such node

local i = index_of(ARGV[3])
if not i then
  return 0
end
local key, what, value = node_key(i), ARGV[4], ARGV[5]
if what == 'order' then
  call('RPUSH', key .. ':orders', value)
elseif what == 'draining' then
  call('HSET', key, 'draining', value)
  local state = call('HGET', key, 'state')
  if state == 'live' or state == 'draining' then
    call('HSET', key, 'state', value == '1' and 'draining' or 'live')
  end
else
  call('HSET', key, what, value, what:sub(5) .. '_max', value)
end
set_uploader(i)
wake_for_uploader(i)
return 1
