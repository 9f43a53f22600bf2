-- withdraw: these nodes are no longer to get the job.
--
-- ARGV  now, seed, job, node names as JSON
-- Reply how many were taken off
-- Cost  O(nodes * shards held)

local j = load_job(ARGV[3])
local gone = 0
for _, name in ipairs(cjson.decode(ARGV[4])) do
  local i = index_of(name)
  if i and member(j, i) then
    for _, id in ipairs(leases_of(i)) do
      local l = load_lease(id)
      if l and l._job == j.id then fail_lease(id, 'failed', 'withdrawn', 0, 0, true) end
    end
    forget_copies(j, i)
    unwait(j, i)
    set_member(j, i, 'withdrawn')
    call('HDEL', j.key .. ':members', i)
    call('ZREM', j.key .. ':chain', i)
    call('DEL', j.have[i])
    j.members[i], j.counts[i] = false, nil
    leave_job(i, j.id)
    change_job(j, 'nodes', j.nodes - 1)
    gone = gone + 1
  end
end
rematch_after({ [j.id] = true }, {})
return gone
