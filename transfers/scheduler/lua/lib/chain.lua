-- chain: a node that holds up those behind it goes to the end of the chain.

local PACE_MS = 3000     -- how long a pace is measured
local LAG = 4            -- shards behind the predecessor
local SLOW = 0.5         -- of the predecessor's pace
local LOOKED_AT = 128

-- Move the nodes that lag their predecessor and take less than half of what it gets. Gives their names; at most one a call,
-- since the pace of all behind a slow node is the slow node's.
local function move_laggards(job_id)
  local job = job_key(job_id)
  local chain = call('ZRANGE', job .. ':chain', 0, LOOKED_AT - 1)
  local out = {}
  local above, above_count, above_pace
  local shards = number(call('HGET', job, 'shard_count'))
  for place, i in ipairs(chain) do
    local member = call('HGET', job .. ':members', i)
    local state = load_node(i).state
    if state == 'live' and (member == 'ready' or member == 'done') then
      local count = number(call('HGET', job .. ':counts', i))
      local mark = call('HGET', job .. ':pace', i)
      local pace
      if mark then
        local at, was = mark:match('(%d+):(%d+)')
        if NOW - at >= PACE_MS then
          pace = (count - was) / (NOW - at)
          call('HSET', job .. ':pace', i, string.format('%d:%d', NOW, count))
        end
      else
        call('HSET', job .. ':pace', i, string.format('%d:%d', NOW, count))
      end
      if above and pace and above_pace and #out == 0 and place < #chain and count < shards then
        local reference = above_pace
        if above_count == shards then
          reference = shards / math.max(1, NOW - number(call('HGET', job, 'started')))
        end
        if above_count - count >= LAG and pace < SLOW * reference then
          call('ZADD', job .. ':chain', call('HINCRBY', job, 'chain_end', 1), i)
          call('DEL', job .. ':pace') -- those behind it had its pace, and now have a chance to show their own
          -- what it still receives would hold its predecessor's slots, which the next one is to have
          for _, id in ipairs(call('SUNION', node_key(i) .. ':serves', node_key(i) .. ':takes')) do
            local l = load_lease(id)
            if l and l.job == job_id then
              fail_lease(id, 'failed', 'moved', 0, 0, true)
            end
          end
          local name = name_of(i)
          out[1] = name
          event('moved', 'job', job_id, 'node', name)
          wake_successor(load_job(job_id), above)
        end
      end
      if #out > 0 then
        return out
      end
      above, above_count, above_pace = i, count, pace
    end
  end
  return out
end
