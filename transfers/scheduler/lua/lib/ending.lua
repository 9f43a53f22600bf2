-- ending: a job that ends before its time frees all that it holds.

function end_job(job_id, state, why)
  local j = load_job(job_id)
  change_job(j, 'state', state)
  change_job(j, 'reason', why)
  j.recent = {}
  local sources = {}
  local order = cjson.encode({ op = 'cancel', job = job_id })
  for _, i in ipairs(call('HKEYS', j.key .. ':members')) do
    for _, id in ipairs(ids_of(N[i]._takes)) do
      local l = load_lease(id)
      if l._job == job_id then
        release(l, false)
        for_heartbeat(i, 'dropped', id)
        if l._src ~= '' then
          sources[l._src] = true
        end
      end
    end
    unwant_job(i, job_id)
    if member(j, i) ~= 'done' then
      for_heartbeat(i, 'orders', order)
    end
  end
  clear_line(j)
  event('job_state', 'job', job_id, 'state', state, 'why', why)
  write_log(j)
  for src in pairs(sources) do
    wake_for_uploader(src)
  end
end

-- A job that needs more of the bucket than it may have ends, before a byte beyond its budget is read.
acts.last[#acts.last + 1] = function()
  if #over_budget == 0 then
    return
  end
  for _, job_id in ipairs(over_budget) do
    local j = load_job(job_id)
    if is_open(j) then
      end_job(job_id, 'failed', string.format('its budget of %.0f bytes out of the bucket does not suffice: %.0f were read, '
        .. '%.0f are being read, and shards are left that only the bucket has', j.gcs_budget, j.bytes_gcs, j.gcs_flight))
    end
  end
  over_budget = {}
end
