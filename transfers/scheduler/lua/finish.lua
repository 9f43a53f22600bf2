-- finish: the node's files are all checked and in place, or it cannot go on.
--
-- ARGV  now, seed, job, node, epoch, error ('' when all is well)
-- Reply 1; 0 when the node lacks shards or was already done; -1 unknown node or epoch; -2 no such job
-- Cost  O(1)
--
-- Promises: a node that lacks a shard is never counted as done.

local job = job_key(ARGV[3])
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return -1
end
local state = call('HGET', job .. ':members', i)
if not state then
  return -2
end
if state == 'done' then
  return 0
end
if ARGV[6] == '' then
  if number(call('HGET', job .. ':counts', i)) < number(call('HGET', job, 'shard_count')) then
    return 0
  end
  set_member(job, i, 'done')
  event('node_done', 'job', ARGV[3], 'node', ARGV[4])
else
  set_member(job, i, 'failed')
  call('HSET', job .. ':errors', i, ARGV[6])
  event('node_failed', 'job', ARGV[3], 'node', ARGV[4], 'why', ARGV[6])
end
call('ZREM', node_key(i) .. ':jobs', ARGV[3])
call('ZREM', job .. ':parked', i)
call('SETBIT', job .. ':waiting', i, 0)
call('ZREM', job .. ':readers', i)
settle_job(ARGV[3])
return 1
