-- withdraw: these nodes are no longer to get the job.
--
-- ARGV  now, seed, job, node names as JSON
-- Reply how many were taken off
-- Cost  O(nodes * shards held)

local job = job_key(ARGV[3])
local gone = 0
for _, name in ipairs(cjson.decode(ARGV[4])) do
  local i = index_of(name)
  local state = i and call('HGET', job .. ':members', i)
  if state then
    for _, id in ipairs(call('SMEMBERS', node_key(i) .. ':takes')) do
      if call('HGET', P .. 'l:' .. id, 'job') == ARGV[3] then fail_lease(id, 'failed', 'withdrawn', 0, 0, true) end
    end
    for _, id in ipairs(call('SMEMBERS', node_key(i) .. ':serves')) do
      if call('HGET', P .. 'l:' .. id, 'job') == ARGV[3] then fail_lease(id, 'failed', 'withdrawn', 0, 0, true) end
    end
    forget_copies(load_job(ARGV[3]), i)
    set_member(job, i, 'withdrawn')
    call('HDEL', job .. ':members', i)
    call('HDEL', job .. ':counts', i)
    call('ZREM', job .. ':chain', i)
    call('ZREM', job .. ':parked', i)
    call('SETBIT', job .. ':waiting', i, 0)
    call('ZREM', job .. ':readers', i)
    call('DEL', job .. ':have:' .. i, job .. ':need:' .. i)
    call('ZREM', node_key(i) .. ':jobs', ARGV[3])
    call('ZREM', node_key(i) .. ':serving', ARGV[3])
    call('SREM', node_key(i) .. ':all', ARGV[3])
    call('HINCRBY', job, 'nodes', -1)
    gone = gone + 1
  end
end
rematch_after({ [ARGV[3]] = true }, {})
return gone
