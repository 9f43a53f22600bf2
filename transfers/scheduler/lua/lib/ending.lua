-- ending: a job that ends before its time frees all that it holds.

local function end_job(job_id, state, why)
  local j = load_job(job_id)
  local job = j.key
  call('HSET', job, 'state', state, 'reason', why)
  j.state = state
  local sources = {}
  local order = cjson.encode({ op = 'cancel', job = job_id })
  for _, i in ipairs(call('HKEYS', job .. ':members')) do
    for _, id in ipairs(call('SMEMBERS', node_key(i) .. ':takes')) do
      local l = load_lease(id)
      if l and l.job == job_id then
        release(l, false)
        call('SADD', node_key(i) .. ':dropped', id)
        if l.src ~= '' then
          sources[l.src] = true
        end
      end
    end
    call('ZREM', node_key(i) .. ':jobs', job_id)
    if call('HGET', job .. ':members', i) ~= 'done' then
      call('RPUSH', node_key(i) .. ':orders', order)
    end
  end
  call('DEL', job .. ':parked', job .. ':waiting', job .. ':readers')
  event('job_state', 'job', job_id, 'state', state, 'why', why)
  for src in pairs(sources) do
    wake_for_uploader(src)
  end
end
