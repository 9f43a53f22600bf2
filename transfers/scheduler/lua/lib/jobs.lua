-- jobs: what a job allows now, who is a member of it, and which jobs a node is in.
--
-- j:<job>          hash; the spec, the state, totals, the median rates seen
-- j:<job>:members  hash: node -> enrolled (not heard of), ready, done, failed, gone (died or left)
-- n:<i>:jobs       zset: open jobs that the node still needs, most urgent first
-- n:<i>:serving    zset: open jobs that it may give shards of
-- n:<i>:all        set: every job in which it may hold shards

local JOBS_TRIED = 16 -- jobs of a node looked at, highest priority first

local NUMBERS = { 'shard_count', 'shard_size', 'size', 'gcs_slots', 'gcs_used', 'gcs_flight', 'gcs_budget', 'lease_ms', 'pace',
  'gcs_pace', 'avoids', 'upload_slots', 'download_slots', 'bytes_gcs', 'nodes', 'done', 'failed', 'gone', 'quorum', 'ready', 'started', 'chain_end', 'reorder', 'priority', 'max_disputes',
  'wasted', 'own_zone', 'heard', 'awaits' }
local JOB_FIELDS = { 'state', 'topology', 'policy', 'order' }
for k = 1, #NUMBERS do
  JOB_FIELDS[k + 4] = NUMBERS[k]
end

-- Until both rates are known, a reader is taken to get from the bucket what its card can take.
function weigh_bucket(j)
  j.bucket_fills_card = j.topology == 'mesh' and (j.gcs_pace == 0 or j.pace == 0 or j.gcs_pace >= 0.6 * j.pace)
end

function load_job(job_id)
  local j = M.jobs[job_id]
  if j then
    return j
  end
  local key = job_key(job_id)
  local v = call('HMGET', key, unpack(JOB_FIELDS))
  j = {
    id = job_id, key = key, have = names_of(key .. ':have:', ''), hold = names_of(key .. ':hold:', ''), got = key .. ':got:',
    rarity = key .. ':rarity',
    state = v[1], topology = v[2], policy = v[3], order = v[4], members = {}, counts = {}, recent = {}, digests = {}, copies = {}, coming = {},
    lines = {}, waits = {}, late = {}, late_count = 0,
  }
  for k, field in ipairs(NUMBERS) do
    j[field] = number(v[k + 4])
  end
  weigh_bucket(j)
  j.size_text = text_of(j.shard_size) -- what nearly every transfer brings
  j.limits = j.upload_slots > 0 or j.download_slots > 0
  if j.state then
    j.fresh_count = call('ZCARD', key .. ':fresh')
    j.parked_count = call('ZCARD', key .. ':parked')
    M.jobs[job_id] = j
  end
  return j
end

-- A job that is gone is not written: its hash would come to be again.
function change_job(j, field, value)
  if j.state then
    change(j, field, value)
  end
end

function exists(j) return j.state ~= false end
function is_open(j) return j.state == 'running' end

-- One list for all nodes that have the same jobs, which is most of them.
local function shared(list)
  local name = table.concat(list, ' ')
  M.lists[name] = M.lists[name] or list
  return M.lists[name]
end

-- A node's unfinished jobs, the jobs that it can serve, both most urgent first, and all in which it may hold shards.
-- limit: how many unfinished jobs, if not as many as are tried.
function jobs_of(i, limit)
  local n = N[i]
  n._jobs = n._jobs or shared(call('ZRANGE', node_key(i) .. ':jobs', 0, JOBS_TRIED - 1))
  if limit and #n._jobs == JOBS_TRIED then
    return call('ZRANGE', node_key(i) .. ':jobs', 0, limit - 1)
  end
  return n._jobs
end

function served_by(i)
  local n = N[i]
  n._serving = n._serving or shared(call('ZRANGE', node_key(i) .. ':serving', 0, JOBS_TRIED - 1))
  return n._serving
end

function holder_in(i)
  local n = N[i]
  n._all = n._all or shared(call('SMEMBERS', node_key(i) .. ':all'))
  return n._all
end

-- The node still needs the job, or no longer.
function want_job(i, j)
  call('ZADD', node_key(i) .. ':jobs', j.order, j.id)
  N[i]._jobs = nil
end

function unwant_job(i, job_id)
  call('ZREM', node_key(i) .. ':jobs', job_id)
  N[i]._jobs = nil
end

-- The node may give shards of the job, or no longer.
function serve_job(i, j)
  call('ZADD', node_key(i) .. ':serving', j.order, j.id)
  N[i]._serving = nil
end

function unserve_job(i, job_id)
  call('ZREM', node_key(i) .. ':serving', job_id)
  N[i]._serving = nil
end

-- The node has nothing to do with the job any more.
function leave_job(i, job_id)
  unwant_job(i, job_id)
  unserve_job(i, job_id)
  call('SREM', node_key(i) .. ':all', job_id)
  N[i]._all = nil
end

function member(j, i)
  local state = j.members[i]
  if state == nil then
    state = call('HGET', j.key .. ':members', i)
    j.members[i] = state
  end
  return state
end

-- The job counts those that are ready (heard), done, failed or gone. Gives what the member was before.
local COUNTED = { ready = 'heard', done = 'done', failed = 'failed', gone = 'gone' }
function set_member(j, i, state)
  local before = member(j, i)
  if before == state then
    return before
  end
  call('HSET', j.key .. ':members', i, state)
  j.members[i] = state
  local from, to = before and COUNTED[before], COUNTED[state]
  if from then
    change_job(j, from, j[from] - 1)
  end
  if to then
    change_job(j, to, j[to] + 1)
  end
  return before
end

-- A job that was complete without somebody who is there now goes on. O(nodes).
function reopen_job(j, why)
  if j.state ~= 'complete' then
    return
  end
  change_job(j, 'state', 'running')
  for _, i in ipairs(call('HKEYS', j.key .. ':members')) do
    serve_job(i, j)
  end
  event('job_state', 'job', j.id, 'state', 'running', 'why', why)
end

-- A job is ready when its quorum has finished, and complete when every member that is still there has.
function settle_job(j)
  if j.state ~= 'running' then
    return
  end
  local nodes, done, failed, gone = j.nodes, j.done, j.failed, j.gone
  if j.ready == 0 and done > 0 and done >= j.quorum * nodes and done < nodes then
    change_job(j, 'ready', 1)
    event('job_ready', 'job', j.id, 'done', done, 'nodes', nodes)
  end
  if nodes - done - failed - gone > 0 or done + failed == 0 then
    return
  end
  local final = done > 0 and 'complete' or 'failed'
  local reason = ''
  if failed > 0 then
    reason = failed .. ' of ' .. (done + failed) .. ' nodes failed'
  end
  change_job(j, 'state', final)
  change_job(j, 'reason', reason)
  j.recent = {}
  event('job_state', 'job', j.id, 'state', final, 'why', reason)
  write_log(j)
end
