-- feed: give nodes their transfers, when they ask and when something becomes possible for those that wait.

local ROUNDS = 8       -- matches made for one free source at most
local CHAIN_WOKEN = 32 -- nodes of a chain woken one after the other

-- Up to `want` transfers for node i, of its most urgent jobs first: into the list `given`, or without one into its inbox.
-- Gives how many.
function feed(i, want, given, relaxed)
  local count = 0
  local jobs = N[i]._jobs or jobs_of(i)
  for at = 1, #jobs do
    if count >= want then
      break
    end
    local j = M.jobs[jobs[at]] or load_job(jobs[at])
    if j.state == 'running' and (j.members[i] or member(j, i)) == 'ready' then
      if j.topology == 'pipeline' then
        count = count + feed_chain(j, i, want - count, given)
      else
        count = count + feed_mesh(j, i, want - count, given, relaxed)
      end
    end
  end
  return count
end

-- Try to serve a parked node; what it gets goes to its inbox. Gives how many.
function feed_parked(i, relaxed)
  local wants = N[i]._wants
  if wants <= 0 then
    return 0
  end
  return feed(i, wants, nil, relaxed)
end

-- In a chain, what node i holds or receives can be forwarded to the next one, and by that one to the one after it.
function wake_successor(j, i)
  for _ = 1, CHAIN_WOKEN do
    i = neighbour(j, i, false)
    if not i or N[i]._wants <= 0 or feed_parked(i) == 0 then
      return
    end
  end
end

-- Serve those behind src in the chain, and its head.
local function wake_chain(j, src)
  wake_successor(j, src)
  local head = call('ZRANGE', j.key .. ':chain', 0, 0)[1]
  if head and head ~= src and N[head]._wants > 0 then
    feed_parked(head) -- it may wait for what a node further down has read
  end
end

-- Serve parked nodes from src until its slots or its takers run out.
local function serve_parked(j, src, n)
  for _ = 1, ROUNDS do
    if not may_serve(n) then
      return
    end
    local i, s, how
    if job_lets_send(j, src) then
      i, s, how = find_taker(j, src)
    end
    if not i then
      return
    end
    deliver(i, grant(j, i, s, src, how))
  end
end

-- A source has a free slot, or something new.
function wake_for_uploader(src)
  local n = N[src]
  local serving = n._serving or served_by(src)
  for at = 1, #serving do
    local job_id = serving[at]
    local j = M.jobs[job_id] or load_job(job_id)
    local nobody_waits = j.topology == 'mesh' and j.parked_count == 0 and j.state == 'running'
    if not nobody_waits and may_serve(n) then
      if j.state == 'running' then
        because = 'freed'
        if j.topology == 'pipeline' then wake_chain(j, src) else serve_parked(j, src, n) end
      elseif j.state ~= 'paused' then
        unserve_job(src, job_id)
      end
    end
  end
end

-- In chains, what node i now receives can be forwarded.
function wake_successors(i)
  local serving = N[i]._serving or served_by(i)
  for at = 1, #serving do
    local j = M.jobs[serving[at]] or load_job(serving[at])
    if j.topology == 'pipeline' and is_open(j) then
      wake_successor(j, i)
    end
  end
end

-- The bucket has a free slot or something new to give.
function bucket_changed(job_id)
  local j = load_job(job_id)
  if not is_open(j) then
    return
  end
  because = 'bucket'
  if j.topology == 'mesh' then
    wake_for_bucket(j)
    return
  end
  for _, i in ipairs(call('ZRANGE', j.key .. ':parked', 0, PARKED_TRIED - 1)) do
    feed_parked(i)
  end
end
