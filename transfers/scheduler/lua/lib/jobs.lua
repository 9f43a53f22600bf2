-- jobs: what a job allows now. Read once a call, kept in step with every change that this call makes.

local JOB_FIELDS = { 'state', 'topology', 'policy', 'order', 'shard_count', 'shard_size', 'gcs_slots', 'gcs_used', 'lease_ms',
  'pace', 'gcs_pace', 'avoids', 'upload_slots', 'download_slots' }
local JOB_TEXT = { state = true, topology = true, policy = true, order = true }
local JOBS_TRIED = 16 -- jobs of a node looked at, highest priority first
local known_jobs
at_start[#at_start + 1] = function() known_jobs = {} end

local function load_job(job_id)
  local j = known_jobs[job_id]
  if j then
    return j
  end
  j = { id = job_id, key = job_key(job_id) }
  local values = call('HMGET', j.key, unpack(JOB_FIELDS))
  for k, field in ipairs(JOB_FIELDS) do
    if JOB_TEXT[field] then
      j[field] = values[k]
    else
      j[field] = number(values[k])
    end
  end
  -- Until both are known, a reader is taken to get from the bucket what its card can take.
  j.bucket_fills_card = j.topology == 'mesh' and (j.gcs_pace == 0 or j.pace == 0 or j.gcs_pace >= 0.6 * j.pace)
  known_jobs[job_id] = j
  return j
end

local function exists(j) return j.state ~= false end
local function is_open(j) return j.state == 'running' end

-- A node's unfinished jobs and the jobs it can serve, most urgent first.
local function jobs_of(i) return call('ZRANGE', node_key(i) .. ':jobs', 0, JOBS_TRIED - 1) end
local function served_by(i) return call('ZRANGE', node_key(i) .. ':serving', 0, JOBS_TRIED - 1) end

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
