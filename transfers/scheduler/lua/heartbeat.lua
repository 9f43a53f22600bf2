-- heartbeat: a node lives, and says how far its transfers are.
--
-- ARGV  now, seed, node, epoch, disk_free, rate_up, rate_down, rate_gcs, and for each transfer: lease, bytes that came
-- Reply JSON {known, jobs, cancelled, orders, draining, parked, currents: the revision of the hash of that name}
-- Cost  O(leases of the node), but for the first call after a server died (lib/lag.lua)
--
-- Promises: a lease is renewed only when its bytes grew, so that a stalled transfer expires. One that is far behind is
-- cancelled when its shard comes sooner in another way (lib/rescue.lua).

local FIRST_TRANSFER, ORDERS_TAKEN, JOBS_TOLD = 9, 64, 64
let_lag()
local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return '{"known":false}'
end
local n = N[i]
call('HSET', node_key(i), 'seen', NOW_TEXT, 'disk_free', ARGV[5], 'rate_up', ARGV[6], 'rate_down', ARGV[7], 'rate_gcs', ARGV[8])
heard_of(i)
local quiet, cancelled = M.quiet[i], {}
if not quiet then
  M.quiet[i], cancelled = true, call('SMEMBERS', node_key(i) .. ':dropped')
end
if #cancelled > 0 then
  call('DEL', node_key(i) .. ':dropped')
end
for k = FIRST_TRANSFER, #ARGV, 2 do
  local lease, bytes = ARGV[k], ARGV[k + 1] + 0
  local l = lease_of(i, lease)
  if not l then
    cancelled[#cancelled + 1] = lease
  else
    local j = load_job(l._job)
    if bytes > l.bytes then
      l.bytes, l._expires = bytes, later(j.lease_ms)
      takes_renewed(n)
    end
    learn_early(j, l)
    if rescue(j, l) then
      cancelled[#cancelled + 1] = lease
    end
  end
end
local open = {}
for _, job_id in ipairs(jobs_of(i, JOBS_TOLD)) do
  if is_open(load_job(job_id)) then
    open[#open + 1] = job_id
  end
end
if not M.currents_rev then
  M.currents_rev = call('GET', P .. 'currents_rev') or ''
end
local orders = not (quiet and M.quiet[i]) and call('LPOP', node_key(i) .. ':orders', ORDERS_TAKEN) or {}
if #orders == ORDERS_TAKEN then
  M.quiet[i] = nil -- there may be more
end
return '{"known":true,"jobs":' .. json_list(open) .. ',"cancelled":' .. json_list(cancelled) .. ',"orders":['
  .. table.concat(orders, ',') .. '],"draining":' .. (n._state == 'draining' and 'true' or 'false')
  .. ',"parked":' .. (n._wants > 0 and 'true' or 'false') .. ',"currents":"' .. M.currents_rev .. '"}'
