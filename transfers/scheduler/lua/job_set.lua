-- job_set: an operator or the agents change a job as a whole.
--
-- ARGV  now, seed, job, what ("paused" | "running" | "cancelled" | "failed" | "priority"), value (reason or number)
-- Reply 1; 0 when it had ended or is that already; -2 no such job
-- Cost  O(nodes) for an ending

local what = ARGV[4]
if what ~= 'failed' then
  coordinator_only()
end
local j = load_job(ARGV[3])
if not exists(j) then
  return -2
end
if what == 'priority' then
  change_job(j, 'order', string.format('%.0f', number(j.order) + (j.priority - tonumber(ARGV[5])) * 1e10))
  change_job(j, 'priority', tonumber(ARGV[5]))
  call('ZADD', P .. 'jobs', j.order, j.id)
  for _, i in ipairs(call('HKEYS', j.key .. ':members')) do
    call('ZADD', node_key(i) .. ':jobs', 'XX', j.order, j.id)
    call('ZADD', node_key(i) .. ':serving', 'XX', j.order, j.id)
    local n = N[i]
    n._jobs, n._serving = nil, nil
  end
  return 1
end
if j.state == what or j.state == 'complete' or j.state == 'failed' or j.state == 'cancelled' then
  return 0
end
if what == 'cancelled' or what == 'failed' then
  end_job(j.id, what, ARGV[5])
else
  change_job(j, 'state', what)
  event('job_state', 'job', j.id, 'state', what, 'why', ARGV[5])
  if what == 'running' then
    for _, i in ipairs(call('ZRANGE', j.key .. ':parked', 0, -1)) do
      feed_parked(i)
    end
  end
end
return 1
