-- match: which shard, from whom, to whom. Every search is bounded; what it misses, the reaper's tick finds.

local IDLE_TRIED = 12     -- idle uploaders looked at for one receiver
local SHARDS_WEIGHED = 24 -- shards whose rarity is compared
local RAREST_TRIED = 16   -- shards walked from the rarest up
local PARKED_TRIED = 16   -- parked nodes looked at for one uploader
local JOBS_TRIED = 16     -- jobs of a node looked at, highest priority first

local function avoided(job, src, dst)
  local till = call('HGET', job .. ':avoid', src .. '>' .. dst)
  return till and tonumber(till) > NOW
end

local function jobs_of(i)
  return call('ZRANGE', node_key(i) .. ':jobs', 0, JOBS_TRIED - 1)
end

-- What a job allows now: nil when its shards may not move.
local function open_job(job)
  local j = call('HMGET', job, 'state', 'topology', 'gcs_slots', 'gcs_used', 'policy', 'shard_count')
  if j[1] ~= 'running' then
    return nil
  end
  return { topology = j[2], gcs_free = number(j[3]) - number(j[4]), policy = j[5], shards = number(j[6]) }
end

-- How much more a node may take: peer downloads, bucket reads. The caps are the node's.
local function room(i)
  local n = call('HMGET', node_key(i), 'state', 'down', 'down_max', 'gcs', 'gcs_max', 'gcs_wait')
  if n[1] ~= 'live' then
    return 0, 0
  end
  local gcs = number(n[5]) - number(n[4])
  if number(n[6]) > NOW then
    gcs = 0
  end
  return number(n[3]) - number(n[2]), gcs
end

-- The rarest of some shards.
local function rarest(job, j, shards)
  if j.policy == 'sequential' then
    table.sort(shards)
    return shards[1], 0
  end
  if j.policy == 'random' or #shards == 1 then
    return shards[math.random(#shards)], 0
  end
  local scores = call('ZMSCORE', job .. ':rarity', unpack(shards))
  local best, least
  for k, s in ipairs(shards) do
    local copies = tonumber(scores[k] or 1e9) or 1e9
    if not least or copies < least then
      best, least = s, copies
    end
  end
  return best, least
end

-- A (shard, source) for node i among the idle uploaders: the rarest shard that one of them can give.
local function find_peer(job, j, i)
  local idle = call('GET', P .. 'up')
  if not idle then
    return nil
  end
  local tried = some_bits(idle, IDLE_TRIED)
  local best, source, least
  local found = 0
  for _, src in ipairs(tried) do
    call('HINCRBY', P .. 'counters', 'attempts', 1)
    if tostring(src) ~= i and not avoided(job, src, i) then
      local common = both(job .. ':have:' .. src, job .. ':need:' .. i)
      local shards = some_bits(common, SHARDS_WEIGHED)
      if #shards > 0 then
        local s, copies = rarest(job, j, shards)
        if not least or copies < least then
          best, source, least = s, src, copies
        end
        found = found + 1
        if found >= 2 then
          break
        end
      end
    end
  end
  if best or #tried < IDLE_TRIED then
    return best, source
  end
  local need = call('GET', job .. ':need:' .. i) or ''
  for _, s in ipairs(call('ZRANGE', job .. ':rarity', 0, RAREST_TRIED - 1)) do
    if has_bit(need, tonumber(s)) then
      for _, src in ipairs(some_bits(both(job .. ':hold:' .. s, P .. 'up'), 2)) do
        if tostring(src) ~= i and not avoided(job, src, i) then
          return tonumber(s), src
        end
      end
    end
  end
  return nil
end

-- A shard for node i to read from the bucket: only what has no live copy, or is suspect.
local function find_fresh(job, j, i)
  if j.gcs_free <= 0 then
    return nil
  end
  local need = call('GET', job .. ':need:' .. i) or ''
  for _, s in ipairs(call('ZRANGE', job .. ':fresh', 0, RAREST_TRIED - 1)) do
    if call('SISMEMBER', job .. ':suspects', s) == 1 then
      return tonumber(s), true
    end
    if has_bit(need, tonumber(s)) then
      return tonumber(s), false
    end
  end
  return nil
end

local function feed_mesh(job_id, job, j, i, want, give)
  local down, gcs = room(i)
  local count = 0
  while count < want and down > 0 do
    local s, src = find_peer(job, j, i)
    if not s then
      break
    end
    give(grant(job_id, i, s, tostring(src), false, false))
    down, count = down - 1, count + 1
  end
  while count < want and gcs > 0 and j.gcs_free > 0 do
    local s, confirm = find_fresh(job, j, i)
    if not s then
      break
    end
    give(grant(job_id, i, s, '', false, confirm))
    gcs, count, j.gcs_free = gcs - 1, count + 1, j.gcs_free - 1
  end
  return count
end

local CHAIN_LOOK = 64 -- places of the chain passed over when looking for a live neighbour

-- The nearest live, working neighbour of node i: upstream (towards the head) or downstream. nil at the end of the chain.
local function neighbour(job, i, upstream)
  local chain = job .. ':chain'
  local place = call('ZSCORE', chain, i)
  if not place then
    return nil
  end
  local found
  if upstream then
    found = call('ZREVRANGEBYSCORE', chain, '(' .. place, '-inf', 'LIMIT', 0, CHAIN_LOOK)
  else
    found = call('ZRANGEBYSCORE', chain, '(' .. place, '+inf', 'LIMIT', 0, CHAIN_LOOK)
  end
  for _, other in ipairs(found) do
    local state = call('HGET', node_key(other), 'state')
    local member = call('HGET', job .. ':members', other)
    if (state == 'live' or state == 'draining') and (member == 'ready' or member == 'done') then
      return other
    end
  end
  return nil
end

-- The first shard that i needs and that its predecessor holds or is receiving.
local function next_in_chain(job, i, above)
  local t = P .. 'tmp'
  call('BITOP', 'AND', t, job .. ':need:' .. i, job .. ':need:' .. above)
  call('BITOP', 'XOR', t, t, job .. ':need:' .. i)
  local s = call('BITPOS', t, 1)
  if s < 0 then
    return nil
  end
  return s
end

-- A node that is receiving shard s and can forward it to i. There is one when a node further down was the first of the
-- chain to be ready, and began with the bucket: what it reads is not read a second time by the head that came after it.
local function reader_of(job, i, s)
  for _, src in ipairs(some_bits(both(job .. ':got:' .. s, P .. 'up'), 4)) do
    if tostring(src) ~= i and not avoided(job, src, i) then
      return tostring(src)
    end
  end
  return nil
end

local function feed_head(job_id, job, j, i, want, give)
  local down, gcs = room(i)
  local count = 0
  local need = job .. ':need:' .. i
  while count < want do
    local suspect = call('SRANDMEMBER', job .. ':suspects')
    local s = call('BITPOS', need, 1)
    if suspect and gcs > 0 and call('HEXISTS', job .. ':reading', suspect) == 0 then
      give(grant(job_id, i, suspect, '', false, true))
      gcs = gcs - 1
    elseif s < 0 then
      break
    elseif call('BITCOUNT', job .. ':hold:' .. s) > 0 then
      local given = false
      if down > 0 then
        for _, src in ipairs(some_bits(both(job .. ':hold:' .. s, P .. 'up'), 4)) do
          if not avoided(job, src, i) then
            give(grant(job_id, i, s, tostring(src), false, false))
            down, given = down - 1, true
            break
          end
        end
      end
      if not given then
        break
      end
    else
      local reader = down > 0 and reader_of(job, i, s)
      if reader then
        give(grant(job_id, i, s, reader, true, false))
        down = down - 1
      elseif gcs > 0 and j.gcs_free > 0 then
        give(grant(job_id, i, s, '', false, false))
        gcs, j.gcs_free = gcs - 1, j.gcs_free - 1
      else
        break
      end
    end
    count = count + 1
  end
  return count
end

local function feed_chain(job_id, job, j, i, want, give)
  local above = neighbour(job, i, true)
  if not above then
    return feed_head(job_id, job, j, i, want, give)
  end
  local down = room(i)
  local count = 0
  while count < want and down > 0 do
    local s = next_in_chain(job, i, above)
    if not s or call('GETBIT', P .. 'up', above) == 0 or avoided(job, above, i) then
      break
    end
    local whole = call('GETBIT', job .. ':have:' .. above, s) == 1
    give(grant(job_id, i, s, above, not whole, false))
    down, count = down - 1, count + 1
  end
  return count
end

-- Give node i up to `want` transfers, of its most urgent jobs first.
local function feed(i, want, give)
  local count = 0
  for _, job_id in ipairs(jobs_of(i)) do
    if count >= want then
      break
    end
    local job = job_key(job_id)
    local j = open_job(job)
    if j and call('HGET', job .. ':members', i) == 'ready' then
      if j.topology == 'pipeline' then
        count = count + feed_chain(job_id, job, j, i, want - count, give)
      else
        count = count + feed_mesh(job_id, job, j, i, want - count, give)
      end
    end
  end
  return count
end

-- Parking: a node that asked for more than it got waits in the `parked` bitmap of each of its jobs.
local function set_parked(i, wants)
  call('HSET', node_key(i), 'wants', wants)
  for _, job_id in ipairs(jobs_of(i)) do
    call('SETBIT', job_key(job_id) .. ':parked', i, wants > 0 and 1 or 0)
  end
end

-- Try to serve a parked node; what it gets goes to its inbox. Gives how many.
local function feed_parked(i)
  local wants = number(call('HGET', node_key(i), 'wants'))
  if wants <= 0 then
    set_parked(i, 0)
    return 0
  end
  local count = feed(i, wants, function(assignment) deliver(i, assignment) end)
  if count > 0 then
    set_parked(i, wants - count)
  end
  return count
end

-- A parked node that src can serve: the neediest of a few. nil when none was found.
local function find_receiver(job, src)
  local parked = call('GET', job .. ':parked')
  if not parked then
    return nil
  end
  local best, least
  local found = 0
  for _, i in ipairs(some_bits(parked, PARKED_TRIED)) do
    if i ~= tonumber(src) then
      call('HINCRBY', P .. 'counters', 'attempts', 1)
      local down = room(i)
      if down > 0 and not avoided(job, src, i) then
        if both(job .. ':have:' .. src, job .. ':need:' .. i):find('[^%z]') then
          local held = number(call('HGET', job .. ':counts', i))
          if not least or held < least then
            best, least = i, held
          end
          found = found + 1
          if found >= 3 then
            break
          end
        end
      end
    end
  end
  if best then
    return tostring(best)
  end
  for _, s in ipairs(call('ZRANGE', job .. ':rarity', 0, RAREST_TRIED - 1)) do
    if call('GETBIT', job .. ':have:' .. src, s) == 1 then
      local lacking = some_bits(without(job .. ':parked', job .. ':got:' .. s), 2)
      for _, i in ipairs(lacking) do
        if i ~= tonumber(src) and room(i) > 0 and not avoided(job, src, i) then
          return tostring(i)
        end
      end
    end
  end
  return nil
end

-- An uploader has a free slot, or something new: serve parked nodes until its slots or its takers run out.
local ROUNDS = 8
local function wake_for_uploader(src)
  for _, job_id in ipairs(call('ZRANGE', node_key(src) .. ':serving', 0, JOBS_TRIED - 1)) do
    local job = job_key(job_id)
    local j = open_job(job)
    if not j and call('HGET', job, 'state') ~= 'paused' then
      call('ZREM', node_key(src) .. ':serving', job_id)
    end
    if j then
      for _ = 1, ROUNDS do
        if call('GETBIT', P .. 'up', src) == 0 then
          return
        end
        local taker
        if j.topology == 'pipeline' then
          taker = neighbour(job, src, false)
          if taker and call('GETBIT', job .. ':parked', taker) == 0 then
            taker = nil
          end
        else
          taker = find_receiver(job, src)
        end
        if not taker or feed_parked(taker) == 0 then
          break
        end
      end
    end
  end
end

-- The bucket has a free slot or something new to give: find parked nodes that may read it.
local function wake_for_bucket(job_id)
  local job = job_key(job_id)
  local j = open_job(job)
  if not j or j.gcs_free <= 0 or (call('ZCARD', job .. ':fresh') == 0 and call('SCARD', job .. ':suspects') == 0) then
    return
  end
  local parked = call('GET', job .. ':parked')
  if not parked then
    return
  end
  local free = j.gcs_free
  for _, i in ipairs(some_bits(parked, PARKED_TRIED)) do
    local _, gcs = room(i)
    if free > 0 and gcs > 0 then
      free = free - feed_parked(tostring(i))
    end
  end
end

-- In a chain, what node i now receives can be forwarded to the next one.
local function wake_successors(i)
  for _, job_id in ipairs(call('ZRANGE', node_key(i) .. ':serving', 0, JOBS_TRIED - 1)) do
    local job = job_key(job_id)
    if call('HGET', job, 'topology') == 'pipeline' then
      local below = neighbour(job, i, false)
      if below and call('GETBIT', job .. ':parked', below) == 1 then
        feed_parked(below)
      end
    end
  end
end
