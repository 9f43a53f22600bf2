-- heartbeat: a node lives, and says how far its transfers are.
--
-- ARGV  now, seed, node, epoch, beat as JSON {progress: {lease: bytes}, disk_free, rate_up, rate_down, rate_gcs}
-- Reply JSON {known, jobs, cancelled, orders, draining, parked, currents: the revision of the hash of that name}
-- Cost  O(leases of the node), but for the first call after a server died (lib/lag.lua)
--
-- Promises: a lease is renewed only when its bytes grew, so that a stalled transfer expires. One that is far behind is
-- cancelled when its shard comes sooner in another way (lib/rescue.lua).

local ORDERS_TAKEN, JOBS_TOLD = 64, 64
let_lag()
local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return '{"known":false}'
end
local beat = cjson.decode(ARGV[5])
local n = N[i]
call('HSET', node_key(i), 'seen', NOW_TEXT, 'disk_free', beat.disk_free, 'rate_up', beat.rate_up, 'rate_down', beat.rate_down,
  'rate_gcs', beat.rate_gcs)
call('ZADD', P .. 'seen', NOW_TEXT, i)
local quiet, cancelled = M.quiet[i], {}
if not quiet then
  M.quiet[i], cancelled = true, call('SMEMBERS', node_key(i) .. ':dropped')
end
if #cancelled > 0 then
  call('DEL', node_key(i) .. ':dropped')
end
for lease, bytes in pairs(beat.progress) do
  local l = lease_of(i, lease)
  if not l then
    cancelled[#cancelled + 1] = lease
  else
    local j = load_job(l._job)
    if bytes > l.bytes then
      l.bytes, l._expires = bytes, later(j.lease_ms)
      takes_changed(n)
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
