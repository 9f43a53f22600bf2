-- parking: nodes that asked for more than they got wait in Redis until something becomes possible for them.
--
-- n:<i> wants     how many more transfers the node would take; 0: it does not wait
-- j:<job>:parked  zset: nodes that could receive from a peer -> shards held, plus SLOW_LAST for slow and barred ones: neediest first
-- j:<job>:waiting bitmap: the same nodes
-- j:<job>:readers zset: nodes that could read from the bucket although they receive from peers, as for a slow bucket

local SLOW_LAST = 1e8

local function neediness(j, i, n)
  return number(call('HGET', j.key .. ':counts', i)) + ((is_slow(n) or n.barred == 1) and SLOW_LAST or 0)
end

-- Put a node among those that wait, or take it out: in each of its jobs that it has announced.
local function set_parked(i, wants)
  local n = load_node(i)
  local before = n.asking or n.wants
  n.asking = nil
  n.wants = wants
  if wants <= 0 and before <= 0 then
    return
  end
  if before <= 0 then
    change_node(i, 'wants', wants)
    change_node(i, 'parked_at', NOW)
  elseif before ~= wants then
    change_node(i, 'wants', wants)
  end
  for _, job_id in ipairs(jobs_of(i)) do
    local j = load_job(job_id)
    local ready = wants > 0 and call('HGET', j.key .. ':members', i) == 'ready'
    local was = call('GETBIT', j.key .. ':waiting', i) == 1
    if ready and room_for_peers(n, j) > 0 then
      call('ZADD', j.key .. ':parked', neediness(j, i, n), i)
      if not was then call('SETBIT', j.key .. ':waiting', i, 1) end
    elseif was then
      call('ZREM', j.key .. ':parked', i)
      call('SETBIT', j.key .. ':waiting', i, 0)
    end
    if not j.bucket_fills_card and j.topology == 'mesh' then
      if ready and may_read_bucket(n, j) then
        call('ZADD', j.key .. ':readers', neediness(j, i, n), i)
      else
        call('ZREM', j.key .. ':readers', i)
      end
    end
  end
end

-- Node i is asking just now: nothing is matched for it behind its back until it is parked again.
local function begin_asking(i)
  local n = load_node(i)
  n.asking, n.wants = n.wants, 0
end
