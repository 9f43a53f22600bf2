-- burial: what a node that died, left or restarted leaves behind is freed and discounted.

-- The node's copies in a job count no longer. O(shards of the job).
local function forget_copies(job, i)
  local have = call('GET', job .. ':have:' .. i)
  if not have then
    return
  end
  for s = 0, #have * 8 - 1 do
    if has_bit(have, s) then
      unhold(job, i, s, true)
    end
  end
end

local function bury(i, why)
  local key = node_key(i)
  call('SETBIT', P .. 'up', i, 0)
  set_parked(i, 0)
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
    local job = job_key(job_id)
    if call('EXISTS', job) == 1 then
      forget_copies(job, i)
      if call('HGET', job .. ':members', i) == 'done' then
        call('HINCRBY', job, 'done', -1)
        call('ZADD', key .. ':jobs', call('HGET', job, 'order'), job_id)
      end
      call('HSET', job .. ':members', i, 'enrolled')
      touched[job_id] = true
    else
      call('SREM', key .. ':all', job_id)
    end
  end
  call('DEL', inbox_key(i))
  return touched, sources
end

-- A job is complete when every member that is still there has finished.
local function settle_job(job_id)
  local job = job_key(job_id)
  local state = call('HGET', job, 'state')
  if state ~= 'running' then
    return
  end
  local done, open, failed = 0, 0, 0
  for _, pair in ipairs({ call('HGETALL', job .. ':members') }) do
    local members = pair.map or pair
    for k = 1, #members, 2 do
      local status = members[k + 1]
      if status == 'done' then
        done = done + 1
      elseif status == 'failed' then
        failed = failed + 1
      else
        local node = call('HGET', node_key(members[k]), 'state')
        if node == 'live' or node == 'draining' or node == 'absent' then
          open = open + 1
        end
      end
    end
  end
  if open > 0 or done + failed == 0 then
    return
  end
  local final = done > 0 and 'complete' or 'failed'
  local reason = ''
  if failed > 0 then
    reason = failed .. ' of ' .. (done + failed) .. ' nodes failed'
  end
  call('HSET', job, 'state', final, 'reason', reason)
  event('job_state', 'job', job_id, 'state', final, 'why', reason)
end

-- After a node went: every match that its absence allows.
local function rematch_after(touched, sources)
  for src in pairs(sources) do
    wake_for_uploader(src)
  end
  for job_id in pairs(touched) do
    wake_for_bucket(job_id)
    settle_job(job_id)
    local parked = call('GET', job_key(job_id) .. ':parked')
    if parked then
      for _, i in ipairs(some_bits(parked, PARKED_TRIED)) do
        feed_parked(tostring(i))
      end
    end
  end
end
