-- jobs: what a job allows now. Read once a call, kept in step with every change that this call makes.

local JOBS_TRIED = 16 -- jobs of a node looked at, highest priority first
local known_jobs, changed_jobs
at_start[#at_start + 1] = function() known_jobs, changed_jobs = {}, {} end

local function load_job(job_id)
  local j = known_jobs[job_id]
  if j then
    return j
  end
  local key = job_key(job_id)
  local v = call('HMGET', key, 'state', 'topology', 'policy', 'order', 'shard_count', 'shard_size', 'gcs_slots', 'gcs_used',
    'lease_ms', 'pace', 'gcs_pace', 'avoids', 'upload_slots', 'download_slots', 'held', 'bytes_gcs', 'bytes_peer')
  local pace, gcs_pace = number(v[10]), number(v[11])
  j = {
    id = job_id, key = key, have = key .. ':have:', need = key .. ':need:', hold = key .. ':hold:', got = key .. ':got:',
    state = v[1], topology = v[2], policy = v[3], order = v[4], shard_count = number(v[5]), shard_size = number(v[6]),
    gcs_slots = number(v[7]), gcs_used = number(v[8]), lease_ms = number(v[9]), pace = pace, gcs_pace = gcs_pace,
    avoids = number(v[12]), upload_slots = number(v[13]), download_slots = number(v[14]), held = number(v[15]),
    bytes_gcs = number(v[16]), bytes_peer = number(v[17]),
    -- Until both are known, a reader is taken to get from the bucket what its card can take.
    bucket_fills_card = v[2] == 'mesh' and (gcs_pace == 0 or pace == 0 or gcs_pace >= 0.6 * pace),
    changes = nil, rarest = nil,
  }
  known_jobs[job_id] = j
  return j
end

-- A job that is gone is not written: its hash would come to be again.
local function change_job(j, field, value)
  if j.state then
    change(j, changed_jobs, field, value)
  end
end

at_end[#at_end + 1] = function() write_changes(changed_jobs) end

local function exists(j) return j.state ~= false end
local function is_open(j) return j.state == 'running' end

-- A node's unfinished jobs and the jobs it can serve, most urgent first.
local function jobs_of(i)
  local n = load_node(i)
  n.jobs = n.jobs or call('ZRANGE', node_key(i) .. ':jobs', 0, JOBS_TRIED - 1)
  return n.jobs
end

local function served_by(i)
  local n = load_node(i)
  n.serving = n.serving or call('ZRANGE', node_key(i) .. ':serving', 0, JOBS_TRIED - 1)
  return n.serving
end

-- Members: node -> enrolled (not heard of), ready, done, failed, gone (died or left). The job counts them.
local COUNTED = { done = 'done', failed = 'failed', gone = 'gone' }
local function set_member(job, i, state)
  local before = call('HGET', job .. ':members', i)
  if before == state then
    return before
  end
  call('HSET', job .. ':members', i, state)
  if before and COUNTED[before] then
    call('HINCRBY', job, COUNTED[before], -1)
  end
  if COUNTED[state] then
    call('HINCRBY', job, COUNTED[state], 1)
  end
  return before
end

-- A job that was complete without somebody who is there now goes on. O(nodes).
local function reopen_job(j, why)
  if j.state ~= 'complete' then
    return
  end
  call('HSET', j.key, 'state', 'running')
  j.state = 'running'
  for _, i in ipairs(call('HKEYS', j.key .. ':members')) do
    call('ZADD', node_key(i) .. ':serving', j.order, j.id)
  end
  event('job_state', 'job', j.id, 'state', 'running', 'why', why)
end

-- A job is complete when every member that is still there has finished.
local function settle_job(job_id)
  local job = job_key(job_id)
  local j = call('HMGET', job, 'state', 'nodes', 'done', 'failed', 'gone', 'quorum', 'ready')
  if j[1] ~= 'running' then
    return
  end
  local nodes, done, failed, gone = number(j[2]), number(j[3]), number(j[4]), number(j[5])
  if j[7] ~= '1' and done > 0 and done >= number(j[6]) * nodes and done < nodes then
    call('HSET', job, 'ready', 1)
    event('job_ready', 'job', job_id, 'done', done, 'nodes', nodes)
  end
  if nodes - done - failed - gone > 0 or done + failed == 0 then
    return
  end
  local final = done > 0 and 'complete' or 'failed'
  local reason = ''
  if failed > 0 then
    reason = failed .. ' of ' .. (done + failed) .. ' nodes failed'
  end
  call('HSET', job, 'state', final, 'reason', reason)
  load_job(job_id).state = final
  event('job_state', 'job', job_id, 'state', final, 'why', reason)
end
