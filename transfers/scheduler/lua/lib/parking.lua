-- parking: nodes that asked for more than they got wait in Redis until something becomes possible for them.
--
-- n:<i> wants     how many more transfers the node would take; 0: it does not wait
-- j:<job>:parked  zset: nodes that could receive from a peer -> shards held, plus SLOW_LAST for slow and barred ones: neediest first
-- j:<job>:waiting bitmap: the same nodes; j.waits: node -> its bit, where that was read or set
-- j:<job>:readers zset: nodes that could read from the bucket although they receive from peers, as for a slow bucket

SLOW_LAST = 1e8

function neediness(j, i, n)
  return count_of(j, i) + ((is_slow(n) or n._barred == 1) and SLOW_LAST or 0)
end

local function waits_for(j, i)
  local waits = j.waits[i]
  if waits == nil then
    waits = call('GETBIT', j.key .. ':waiting', i) == 1
    j.waits[i] = waits
  end
  return waits
end

local function leave_line(j, i)
  j.parked_count = j.parked_count - call('ZREM', j.key .. ':parked', i)
  call('SETBIT', j.key .. ':waiting', i, 0)
  j.waits[i] = false
end

-- Nobody waits for the job any more.
function clear_line(j)
  call('DEL', j.key .. ':parked', j.key .. ':waiting', j.key .. ':readers')
  j.parked_count, j.waits = 0, {}
end

-- Take a node out of those that wait for a job.
function unwait(j, i)
  if waits_for(j, i) then
    leave_line(j, i)
  end
  if j.topology == 'mesh' then
    call('ZREM', j.key .. ':readers', i)
  end
end

local asking, asked_for -- the node that asks in this call, and how many it waited for until then
acts.after_break[#acts.after_break + 1] = function() asking = nil end

-- Put a node among those that wait, or take it out: in each of its jobs that it has announced.
function set_parked(i, wants)
  local n = N[i]
  local before = n._wants
  if asking == i then
    before, asking = asked_for, nil
  end
  n._wants = wants
  if wants <= 0 and before <= 0 then
    return
  end
  if before ~= wants then
    change_node(i, 'wants', wants)
    if before <= 0 then
      change_node(i, 'parked_at', NOW)
    end
  end
  local jobs = n._jobs or jobs_of(i)
  for k = 1, #jobs do
    local j = M.jobs[jobs[k]] or load_job(jobs[k])
    local ready = wants > 0 and (j.members[i] or member(j, i)) == 'ready'
    local was = j.waits[i]
    if was == nil then was = waits_for(j, i) end
    if ready and room_for_peers(n, j) > 0 then
      j.parked_count = j.parked_count + call('ZADD', j.key .. ':parked', neediness(j, i, n), i)
      if not was then
        call('SETBIT', j.key .. ':waiting', i, 1)
        j.waits[i] = true
        log_wait(j, i, wants)
      end
    elseif was then
      leave_line(j, i)
    end
    if j.topology == 'mesh' and not (ready and j.bucket_fills_card) then
      if ready and may_read_bucket(n, j) then
        call('ZADD', j.key .. ':readers', neediness(j, i, n), i)
      else
        call('ZREM', j.key .. ':readers', i)
      end
    end
  end
end

-- Node i is asking just now: nothing is matched for it behind its back until it is parked again.
function begin_asking(i)
  local n = N[i]
  asking, asked_for, n._wants = i, n._wants, 0
end
