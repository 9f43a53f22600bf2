-- enrol: these nodes are to get the job; they may be unknown yet, and late joiners come in the same way.
--
-- ARGV  now, seed, job, node names as JSON (the caller sends at most some hundreds a call)
-- Reply how many were added, or -1 when there is no such job
-- Cost  O(nodes + shards / 8 bytes a node)

local job = job_key(ARGV[3])
local j = call('HMGET', job, 'shard_count', 'order', 'state')
if not j[1] then
  return -1
end
local all = ones(number(j[1]))
local added = 0
for _, name in ipairs(cjson.decode(ARGV[4])) do
  local i = ensure_index(name)
  local state = call('HGET', node_key(i), 'state')
  if call('HEXISTS', job .. ':members', i) == 0 then
    set_member(job, i, (state == 'dead' or state == 'left') and 'gone' or 'enrolled')
    call('SET', job .. ':need:' .. i, all)
    call('HSET', job .. ':counts', i, 0)
    call('ZADD', job .. ':chain', call('HINCRBY', job, 'chain_end', 1), i)
    call('ZADD', node_key(i) .. ':jobs', j[2], ARGV[3])
    call('ZADD', node_key(i) .. ':serving', j[2], ARGV[3])
    call('SADD', node_key(i) .. ':all', ARGV[3])
    call('HINCRBY', job, 'nodes', 1)
    event('enrolled', 'job', ARGV[3], 'node', name)
    added = added + 1
  end
end
if added > 0 then
  reopen_job(load_job(ARGV[3]), 'nodes joined')
end
return added
