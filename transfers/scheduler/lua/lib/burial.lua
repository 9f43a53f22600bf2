-- burial: what a node that died, left or restarted leaves behind is freed and discounted.

-- The node's copies in a job count no longer. O(shards of the job).
function forget_copies(j, i)
  for _, s in ipairs(all_bits(call('GET', j.have[i]) or '')) do
    unhold(j, i, s)
  end
end

function ids_of(leases)
  local ids = {}
  for k, l in ipairs(leases) do
    ids[k] = l._id
  end
  return ids
end

-- Every transfer to node i or from it, by id.
function leases_of(i)
  local n = N[i]
  local ids = ids_of(n._takes)
  for _, id in ipairs(n._serves) do
    ids[#ids + 1] = id
  end
  return ids
end

-- state: what the node is from now on; "absent" when it is about to register again. Gives the jobs that it touched, and
-- the sources that it set free.
function bury(i, state, why)
  local n = N[i]
  change_node(i, 'state', state)
  set_parked(i, 0)
  if n._slow > 0 then
    mark(i, n, 0) -- who comes back has a new chance
  end
  local touched, sources = {}, {}
  for _, id in ipairs(leases_of(i)) do
    local l = load_lease(id)
    if l then
      fail_lease(id, 'failed', why, 0, 0, l._dst ~= i)
      touched[l._job] = true
      if l._dst == i and l._src ~= '' then sources[l._src] = true end
    end
  end
  set_uploader(i)
  for _, job_id in ipairs(call('SMEMBERS', node_key(i) .. ':all')) do
    local j = load_job(job_id)
    if exists(j) then
      forget_copies(j, i)
      local before = set_member(j, i, state == 'absent' and 'enrolled' or 'gone')
      if before == 'done' or before == 'failed' then
        want_job(i, j) -- it has a new chance
      end
      touched[job_id] = true
    else
      leave_job(i, job_id)
    end
  end
  call('DEL', inbox_key(i), node_key(i) .. ':accused')
  return touched, sources
end

-- After a node went: every match that its absence allows.
function rematch_after(touched, sources)
  for src in pairs(sources) do
    wake_for_uploader(src)
  end
  for job_id in pairs(touched) do
    bucket_changed(job_id)
    settle_job(load_job(job_id))
    for _, i in ipairs(call('ZRANGE', job_key(job_id) .. ':parked', 0, PARKED_TRIED - 1)) do
      feed_parked(i)
    end
  end
end
