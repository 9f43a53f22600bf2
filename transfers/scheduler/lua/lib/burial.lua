-- burial: what a node that died, left or restarted leaves behind is freed and discounted.

-- The node's copies in a job count no longer. O(shards of the job).
local function forget_copies(j, i)
  local have = call('GET', j.have .. i) or ''
  for _, s in ipairs(first_bits(have, #have * 8)) do
    unhold(j, i, s, true)
  end
end

-- why: "restarted" when the node is there again. Gives the jobs that it touched, and the sources that it set free.
local function bury(i, why)
  local key = node_key(i)
  set_parked(i, 0)
  local n = load_node(i)
  if n.slow > 0 then
    mark(i, n, 0) -- who comes back has a new chance
  end
  local touched, sources = {}, {}
  for _, id in ipairs(call('SMEMBERS', key .. ':takes')) do
    local l = fail_lease(id, 'failed', why, 0, 0, false)
    if l then
      touched[l.job] = true
      if l.src ~= '' then sources[l.src] = true end
    end
  end
  for _, id in ipairs(call('SMEMBERS', key .. ':serves')) do
    local l = fail_lease(id, 'failed', why, 0, 0, true)
    if l then touched[l.job] = true end
  end
  call('SETBIT', P .. 'up', i, 0)
  for _, job_id in ipairs(call('SMEMBERS', key .. ':all')) do
    local j = load_job(job_id)
    if exists(j) then
      forget_copies(j, i)
      local before = set_member(j.key, i, why == 'restarted' and 'enrolled' or 'gone')
      if before == 'done' then
        call('ZADD', key .. ':jobs', j.order, job_id)
      end
      touched[job_id] = true
    else
      call('SREM', key .. ':all', job_id)
    end
  end
  call('DEL', inbox_key(i), key .. ':accused')
  return touched, sources
end

-- After a node went: every match that its absence allows.
local function rematch_after(touched, sources)
  for src in pairs(sources) do
    wake_for_uploader(src)
  end
  for job_id in pairs(touched) do
    bucket_changed(job_id)
    settle_job(job_id)
    for _, i in ipairs(call('ZRANGE', job_key(job_id) .. ':parked', 0, PARKED_TRIED - 1)) do
      feed_parked(i)
    end
  end
end
