-- job_set: an operator or the agents change a job as a whole.
--
-- ARGV  now, seed, job, what ("paused" | "running" | "cancelled" | "failed" | "priority"), value (reason or number)
-- Reply 1; 0 when it had ended or is that already; -2 no such job
-- Cost  O(nodes) for an ending

local job, what = job_key(ARGV[3]), ARGV[4]
local state = call('HGET', job, 'state')
if not state then
  return -2
end
if what == 'priority' then
  local order = string.format('%.0f', number(call('HGET', job, 'order')) + (number(call('HGET', job, 'priority')) - tonumber(ARGV[5])) * 1e10)
  call('HSET', job, 'priority', ARGV[5], 'order', order)
  call('ZADD', P .. 'jobs', order, ARGV[3])
  for _, i in ipairs(call('HKEYS', job .. ':members')) do
    call('ZADD', node_key(i) .. ':jobs', 'XX', order, ARGV[3])
  end
  return 1
end
if state == what or state == 'complete' or state == 'failed' or state == 'cancelled' then
  return 0
end
if what == 'cancelled' or what == 'failed' then
  end_job(ARGV[3], what, ARGV[5])
else
  call('HSET', job, 'state', what)
  load_job(ARGV[3]).state = what
  event('job_state', 'job', ARGV[3], 'state', what, 'why', ARGV[5])
  if what == 'running' then
    for _, i in ipairs(call('ZRANGE', job .. ':parked', 0, -1)) do
      feed_parked(i)
    end
  end
end
return 1
