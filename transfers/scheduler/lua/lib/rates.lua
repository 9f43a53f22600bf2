-- rates: which nodes are slow, learnt from how long whole transfers took. Rates are bytes a millisecond.
--
-- A job's pace is the running median of its transfers' rates. A transfer at less than half of it has a slow end, and the
-- end to blame is the one that did worse before; a normal transfer clears both. A node that was blamed MARKED times in a
-- row is slow: normal nodes do not read from it while another can serve, and it gets few of the normal nodes' upload slots.

local SLOW = 0.5
local MARKED = 2
local STEP = 0.05       -- of the median's value, each transfer: stochastic approximation (Robbins and Monro 1951)
local NEAR = 1.25       -- a rate this near to the median leaves it where it is
local LEAST_MS = 20     -- shorter transfers say more about the machine's clock than about its card
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
end

local function mark(i, n, times)
  local was = n.slow >= MARKED
  change_node(i, 'slow', times)
  change_node(i, 'slow_at', NOW)
  if was ~= (times >= MARKED) then
    call('SETBIT', P .. 'slow', i, was and 0 or 1)
    call('INCRBY', P .. 'slow_count', was and -1 or 1)
  end
end

-- Learn from a whole transfer to dst from src ('' is the bucket).
local function learn(j, dst, src, bytes, ms)
  if ms < LEAST_MS or bytes < j.shard_size / 2 then
    return
  end
  local rate = bytes / ms
  local field = src == '' and 'gcs_pace' or 'pace'
  local slow = j[field] > 0 and rate < SLOW * j[field]
  track(j, field, rate)
  local d = load_node(dst)
  local s = src ~= '' and load_node(src)
  if not slow then
    if d.slow > 0 then mark(dst, d, 0) end
    if s and s.slow > 0 then mark(src, s, 0) end
    return
  end
  local to_blame = not s or d.slow >= s.slow
  local also = s and s.slow >= d.slow
  if to_blame then mark(dst, d, d.slow + 1) end
  if also then mark(src, s, s.slow + 1) end
end

local slow_nodes -- how many there are, read once a call
at_start[#at_start + 1] = function() slow_nodes = nil end
local function any_slow()
  slow_nodes = slow_nodes or number(call('GET', P .. 'slow_count'))
  return slow_nodes > 0
end

local function is_slow(n) return n.slow >= MARKED end

-- A slow node for which a normal node's upload slot may be spent, to see whether it still is slow.
local function may_try(j, n)
  local usual = j.pace > 0 and j.shard_size / j.pace or 0
  if NOW - n.slow_at < RETRY_USUALS * usual then
    return false
  end
  return number(call('GET', P .. 'trials')) < math.max(1, number(call('ZCARD', P .. 'seen')) / TRIALS_SHARE)
end
