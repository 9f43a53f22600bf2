-- heartbeat: a node lives, and says how far its transfers are.
--
-- ARGV  now, seed, node, epoch, beat as JSON {progress: {lease: bytes}, disk_free, rate_up, rate_down, rate_gcs}
-- Reply JSON {known, jobs, cancelled, orders, draining, parked}
-- Cost  O(leases of the node)
--
-- Promises: a lease is renewed only when its bytes grew, so that a stalled transfer expires.

local ORDERS_TAKEN = 64
local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return '{"known":false}'
end
local beat = cjson.decode(ARGV[5])
local key = node_key(i)
call('HSET', key, 'seen', NOW, 'disk_free', beat.disk_free, 'rate_up', beat.rate_up, 'rate_down', beat.rate_down,
  'rate_gcs', beat.rate_gcs)
call('ZADD', P .. 'seen', NOW, i)
local cancelled = call('SMEMBERS', key .. ':dropped')
call('DEL', key .. ':dropped')
for lease, bytes in pairs(beat.progress) do
  local l = call('HMGET', P .. 'l:' .. lease, 'bytes', 'ttl', 'dst')
  if l[3] ~= i then
    cancelled[#cancelled + 1] = lease
  elseif bytes > number(l[1]) then
    call('HSET', P .. 'l:' .. lease, 'bytes', bytes)
    call('ZADD', P .. 'leases', NOW + number(l[2]), lease)
  end
end
local open = {}
for _, job_id in ipairs(call('ZRANGE', key .. ':jobs', 0, 63)) do
  if call('HGET', job_key(job_id), 'state') == 'running' then
    open[#open + 1] = job_id
  end
end
local now_is = call('HMGET', key, 'state', 'wants')
local orders = call('LPOP', key .. ':orders', ORDERS_TAKEN) or {}
return '{"known":true,"jobs":' .. json_list(open) .. ',"cancelled":' .. json_list(cancelled) .. ',"orders":['
  .. table.concat(orders, ',') .. '],"draining":' .. (now_is[1] == 'draining' and 'true' or 'false')
  .. ',"parked":' .. (number(now_is[2]) > 0 and 'true' or 'false') .. '}'
