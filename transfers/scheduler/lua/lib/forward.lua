-- forward: who gives to whom in a pipeline: each node reads from its nearest working predecessor, the head from the bucket.

local HEAD_LOOK = 4   -- shards for which the head looks for a node that holds or reads them
local CHAIN_LOOK = 64 -- places of the chain passed over when looking for a live neighbour
local START_MS = 1000 -- after the first node's announcement; so long is a neighbour waited for that has not come yet

-- The nearest live, working neighbour of node i: upstream (towards the head) or downstream. nil at the end of the chain.
-- The second value tells whether a live node lies between that has not announced yet.
function neighbour(j, i, upstream)
  local chain = j.key .. ':chain'
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
  local comes = false
  for _, other in ipairs(found) do
    local n = N[other]
    local state = member(j, other)
    if (n._state == 'live' or n._state == 'draining') and n._barred == 0 and (state == 'ready' or state == 'done') then
      return other, comes
    end
    comes = comes or n._state == 'live' and state == 'enrolled'
  end
  return nil, comes
end

-- The first shard that i needs and that its predecessor holds or is receiving.
local function next_in_chain(j, i, above)
  local held = first_bits(without(j.have[above], j.have[i]), 1 + #N[i]._takes)
  local first = not_coming(j, i, held)[1]
  for _, l in ipairs(N[above]._takes) do
    if l._job == j.id and (not first or l._shard < first) and needs(j, i, l._shard) then
      first = l._shard
    end
  end
  return first
end

-- A node that holds shard s, or else is receiving it, and can forward it to i: whole or not. There may be one when a node
-- further down was the first of the chain to be ready, and began with the bucket: what it reads is not read again.
local function giver_of(j, i, s)
  for _, part in ipairs({ ':hold:', ':got:' }) do
    for _, src in ipairs(idle_among(j.key .. part .. s, 4)) do
      if can_give(j, src, i) then
        return src, part == ':hold:' and '' or 'cut_through'
      end
    end
  end
  return nil
end

-- What the head takes next: (shard, source, how); the source is '' for the bucket. Nil when nothing can be had now.
-- The bucket is read only for what nobody holds or reads: a shard whose holder is busy is waited for, not read again.
local function next_for_head(j, i, n)
  for _, suspect in ipairs(can_read(j, n) and call('SORT', j.key .. ':suspects', 'LIMIT', 0, HEAD_LOOK) or {}) do
    local s = tonumber(suspect)
    if call('HEXISTS', j.key .. ':reading', s) == 0 and within_budget(j, s) then
      return s, '', 'confirm'
    end
  end
  if room_for_peers(n, j) > 0 and job_lets_take(j, i) then
    for _, s in ipairs(first_needed(j, i, HEAD_LOOK)) do
      if call('ZSCORE', j.key .. ':fresh', s) then
        break -- from here on the bucket is nearer
      end
      local src, how = giver_of(j, i, s)
      if src then
        return s, src, how
      end
    end
  end
  local s, how = next_read(j, i)
  return s, '', how
end

local function feed_head(j, i, want, given)
  local n = N[i]
  local count = 0
  while count < want do
    local s, src, how = next_for_head(j, i, n)
    if not s then
      break
    end
    give(given, i, grant(j, i, s, src, how))
    count = count + 1
  end
  return count
end

function feed_chain(j, i, want, given)
  local above, comes = neighbour(j, i, true)
  if comes and NOW < (j.started > 0 and j.started or NOW) + START_MS then
    return 0 -- what it took from further up now, those between would have to be given as well, and all below would wait
  end
  if not above then
    return feed_head(j, i, want, given)
  end
  local n = N[i]
  local count = 0
  while count < want and room_for_peers(n, j) > 0 and job_lets_take(j, i) do
    local s = next_in_chain(j, i, above)
    if not s or not may_serve(N[above]) or not job_lets_send(j, above) or avoided(j, above, i) then
      break
    end
    local whole = call('GETBIT', j.have[above], s) == 1
    give(given, i, grant(j, i, s, above, whole and '' or 'cut_through'))
    count = count + 1
  end
  return count
end
