-- rates: which nodes are slow, learnt from how long transfers take. Rates are bytes a millisecond.
--
-- A job's pace is the running median of its transfers' rates. A transfer at less than half of it has a slow end, and the
-- end to blame is the one that did worse before; a normal transfer clears both. A node that was blamed MARKED times in a
-- row is slow: normal nodes do not read from it while another can serve, and it gets few of the normal nodes' upload slots.

local SLOW = 0.5
local STEP = 0.05       -- of the median's value, each transfer: stochastic approximation (Robbins and Monro 1951)
local NEAR = 1.25       -- a rate this near to the median leaves it where it is
local LEAST_MS = 20     -- shorter transfers say more about the machine's clock than about its card
local LATE = 1.5        -- usual transfer times after which one that is under way is judged by what has come of it
local RETRY_USUALS = 5  -- a slow node may be tried by a normal one after so many usual transfer times
local TRIALS_SHARE = 50 -- one trial at a time for each so many nodes, and at least one

local function track(j, field, rate)
  local median = j[field]
  if median == 0 then
    median = rate
  elseif rate > median * NEAR then
    median = median * (1 + STEP)
  elseif rate < median / NEAR then
    median = median * (1 - STEP)
  else
    return
  end
  change_job(j, field, median)
  weigh_bucket(j)
end

-- How many slow nodes there are, and how many transfers try whether one still is.
function slow_nodes()
  M.slow_count = M.slow_count or number(call('GET', P .. 'slow_count'))
  return M.slow_count
end

function any_slow() return slow_nodes() > 0 end

function mark(i, n, times)
  local was = is_slow(n)
  change_node(i, 'slow', times)
  change_node(i, 'slow_at', NOW)
  if was ~= is_slow(n) then
    call('SETBIT', P .. 'slow', i, was and 0 or 1)
    M.slow_count = call('INCRBY', P .. 'slow_count', was and -1 or 1)
    set_uploader(i)
  end
end

-- A transfer to dst from src ('' is the bucket) went at less than half of the pace.
local function blame_slowness(dst, src)
  local d = N[dst]
  local s = src ~= '' and N[src]
  local to_blame = not s or d._slow >= s._slow
  local also = s and s._slow >= d._slow
  if to_blame then mark(dst, d, d._slow + 1) end
  if also then mark(src, s, s._slow + 1) end
end

-- Learn from a whole transfer.
function learn(j, dst, src, bytes, ms)
  if ms < LEAST_MS or bytes < j.shard_size / 2 then
    return
  end
  local rate = bytes / ms
  local field = src == '' and 'gcs_pace' or 'pace'
  local slow = j[field] > 0 and rate < SLOW * j[field]
  track(j, field, rate)
  if slow then
    blame_slowness(dst, src)
    return
  end
  local d = N[dst]
  if d._slow > 0 then mark(dst, d, 0) end
  local s = src ~= '' and N[src]
  if s and s._slow > 0 then mark(src, s, 0) end
end

-- Learn from one that is under way: it has had more than the usual time, and less than half of it has come.
function learn_early(j, l)
  local pace = l._src == '' and j.gcs_pace or j.pace
  local usual = pace > 0 and j.shard_size / pace or 0
  local took = NOW - (l.turn or l._started)
  if usual == 0 or l.judged or l.ending and l.ending ~= true or took < LEAST_MS or took < LATE * usual then
    return
  end
  if l.bytes < SLOW * pace * took then
    l.judged = true
    blame_slowness(l._dst, l._src)
  end
end

-- A slow node for which a normal node's upload slot may be spent, to see whether it still is slow.
function may_try(j, n)
  local usual = j.pace > 0 and j.shard_size / j.pace or 0
  if NOW - n.slow_at < RETRY_USUALS * usual then
    return false
  end
  return number(call('GET', P .. 'trials')) < math.max(1, number(call('ZCARD', P .. 'seen')) / TRIALS_SHARE)
end
