-- chain: a node that holds up those behind it goes to the end of the chain.

local PACE_MS = 3000     -- how long a pace is measured
local LAG = 4            -- shards behind the predecessor
local HELD_UP = 0.5      -- of the predecessor's pace
local LOOKED_AT = 128

-- Shards a millisecond that node i took since the last mark; nil while there is none that is old enough.
local function pace_of(j, i, count)
  local mark = call('HGET', j.key .. ':pace', i)
  local at, was
  if mark then
    at, was = mark:match('(%d+):(%d+)')
  end
  if at and NOW - at < PACE_MS then
    return nil
  end
  call('HSET', j.key .. ':pace', i, string.format('%d:%d', NOW, count))
  return at and (count - was) / (NOW - at)
end

local function move_to_end(j, i, above)
  change_job(j, 'chain_end', j.chain_end + 1)
  call('ZADD', j.key .. ':chain', j.chain_end, i)
  call('DEL', j.key .. ':pace') -- those behind it had its pace, and now have a chance to show their own
  -- what it still receives would hold its predecessor's slots, which the next one is to have
  for _, id in ipairs(leases_of(i)) do
    local l = load_lease(id)
    if l and l._job == j.id then
      fail_lease(id, 'failed', 'moved', 0, 0, true)
    end
  end
  event('moved', 'job', j.id, 'node', name_of(i))
  wake_successor(j, above)
end

-- Move a node that lags its predecessor and takes less than half of what it gets. Gives its name, or nil; at most one a
-- call, since the pace of all behind a slow node is the slow node's.
function move_laggard(j)
  local chain = call('ZRANGE', j.key .. ':chain', 0, LOOKED_AT - 1)
  local above, above_count, above_pace
  for place, i in ipairs(chain) do
    local state = member(j, i)
    if N[i]._state == 'live' and (state == 'ready' or state == 'done') then
      local count = count_of(j, i)
      local pace = pace_of(j, i, count)
      if above and pace and above_pace and place < #chain and count < j.shard_count then
        local reference = above_pace
        if above_count == j.shard_count then
          reference = j.shard_count / math.max(1, NOW - j.started)
        end
        if above_count - count >= LAG and pace < HELD_UP * reference then
          move_to_end(j, i, above)
          return name_of(i)
        end
      end
      above, above_count, above_pace = i, count, pace
    end
  end
  return nil
end
