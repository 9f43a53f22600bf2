-- finish: the node's files are all checked and in place, or it cannot go on.
--
-- ARGV  now, seed, job, node, epoch, error ('' when all is well)
-- Reply 1, also when the node was already done; 0 when it lacks shards; -1 unknown node or epoch; -2 no such job
-- Cost  O(1)
--
-- Promises: a node that lacks a shard is never counted as done.

local j = load_job(ARGV[3])
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return -1
end
local state = member(j, i)
if not state then
  return -2
end
if state == 'done' then
  return 1
end
if ARGV[6] == '' then
  if count_of(j, i) < j.shard_count then
    return 0
  end
  set_member(j, i, 'done')
  event('node_done', 'job', j.id, 'node', ARGV[4])
else
  set_member(j, i, 'failed')
  call('HSET', j.key .. ':errors', i, ARGV[6])
  event('node_failed', 'job', j.id, 'node', ARGV[4], 'why', ARGV[6])
end
unwant_job(i, j.id)
unwait(j, i)
settle_job(j)
return 1
