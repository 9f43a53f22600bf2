-- choose: which shard, for a pair of nodes. The policy is here and nowhere else.
--
-- rarest-first, peers-first  of what one has and the other needs, what the fewest live nodes hold
-- random                     any
-- sequential                 the first in order

local RAREST, RAREST_LAST = 16, '15' -- shards of the job looked at from the rarest up
local SAMPLE = 4        -- when none of those will do: so many are compared
local FEW = 3           -- copies, those under way among them, up to which another shard is looked for instead
local NEAR, ONE = 1.2, 1 -- a shard with so many times the copies of the next rarest, and one more, is rare enough
local PLENTY, PLENTY_SHARE = 64, 4 -- no shard is rare once the rarest has so many copies, and one of so many nodes has it
local ABROAD = 8        -- shards looked for in other zones, when none of the rarest is to be had there
local REFRESHED_EVERY = 64 -- calls after which the rarest are read again; a new shard's first copy has them read at once

local byte_of = ('').byte -- while a library is loaded there is no `string` by name

-- The job's rarest shards, rarest first, and of them those that are rare: of whose copies each second node could have one, and none
-- when all have copies in plenty. Where those are many, each source would have to be asked, and it would matter little. Those that
-- share a byte of a bitmap are looked at together, since shards that came in one after the other, as the rarest mostly did,
-- share a few bytes, and most of these are zero. So there are lists by rank
--   shards                 the shard
--   values, twice          of those that are rare: its value in its byte (bits.lua), and twice that
--   following              the rank of the next shard with the same byte
-- and lists by byte, in the order of the rarest shard of each
--   places, first          where in a bitmap it is; the rank of that shard
--   enough                 copies with which a shard of an earlier byte is rare enough
-- and a bitmap
--   holders                nodes that held one of those that are rare
-- Used again when they are read anew; readings: how often that was.
function rarest_of(j)
  local list = j.rarest
  if list and j.rarest_from + REFRESHED_EVERY > calls then
    return list
  end
  list = list or { shards = {}, values = {}, twice = {}, following = {}, places = {}, first = {}, enough = {}, last = {},
    readings = 0 }
  write_copies(j)
  local found, keys = call('ZRANGE', j.rarity, '0', RAREST_LAST, 'WITHSCORES'), {}
  local shards, values, twice, following, all, coming = list.shards, list.values, list.twice, list.following, j.copies, j.coming
  local places, first, enough, bytes = list.places, list.first, list.enough, 0
  local all_matter = any_slow() -- what slow nodes take long to pass on is rare for longer
  local room = all_matter and math.huge or math.max(PLENTY, j.nodes / 2) -- for copies of shards that are rare
  local last, since = list.last, list.readings * RAREST -- last: by place, since + the highest rank with that byte in this reading
  for rank = 1, RAREST do
    local s = found[2 * rank - 1]
    s = s and s + 0
    shards[rank], following[rank] = s, nil
    local count = s and found[2 * rank] + 0
    if s then
      all[s] = with_tie(s, count)
      if rank == 1 and not all_matter then
        room = count >= PLENTY and count * PLENTY_SHARE >= j.nodes and 0 or math.max(room, count)
      end
      room = room - count
    end
    if s and room >= 0 then
      local at, value = (s - s % 8) / 8 + 1, BIT[s % 8]
      values[rank], twice[rank], keys[rank] = value, 2 * value, j.hold[s]
      local before = last[at]
      if before and before > since then
        following[before - since] = rank
      else
        bytes = bytes + 1
        places[bytes], first[bytes] = at, rank
        enough[bytes] = count > FEW and (count + (coming[s] or 0)) * NEAR + ONE or count
      end
      last[at] = since + rank
    end
  end
  list.bytes, list.readings, list.holders = bytes, list.readings + 1, any_of(keys)
  j.rarest, j.rarest_from = list, calls
  return list
end

-- Live copies of s, with what breaks ties: known nearly always, so that to ask for one at a time costs nothing.
local function copies_of(j, s)
  local copies = j.copies[s]
  if not copies then
    copies = with_tie(s, tonumber(call('ZSCORE', j.rarity, s) or 0))
    j.copies[s] = copies
  end
  return copies
end

-- Of the first `count` of these shards, but for those that come to node i already, the one with the fewest live copies, those
-- under way counted as well, and how many.
local function least_held(j, i, shards, count)
  local coming_to, reading = coming_by(j, i)
  local known, coming = j.copies, j.coming
  local best, fewest
  for k = 1, count do
    local s = shards[k]
    if coming_to[s] ~= reading then
      local copies = (known[s] or copies_of(j, s)) + (coming[s] or 0)
      if not best or copies < fewest then
        best, fewest = s, copies
      end
    end
  end
  return best, fewest
end

-- Of the job's rarest shards one that is in the bitmap `have`, not in `got`, and not coming (see got_by), of the fewest
-- copies or near to it, those under way counted; and how many.
local function rare_shard(j, have, got, coming_to, reading)
  local rarest, now, coming = rarest_of(j), j.copies, j.coming
  local places, enough, shards, values, twice = rarest.places, rarest.enough, rarest.shards, rarest.values, rarest.twice
  local best, fewest = nil, math.huge
  for p = 1, rarest.bytes do
    if fewest <= enough[p] then
      break -- copies only come to be: what this byte and all after it are for has as many by now, or nearly
    end
    local at = places[p]
    local byte = byte_of(have, at) or 0
    local k = byte > 0 and rarest.first[p]
    while k do
      local value, two = values[k], twice[k]
      if byte % two >= value and (byte_of(got, at) or 0) % two < value then
        local s = shards[k]
        local count = (now[s] or 0) + (coming[s] or 0)
        if count < fewest and coming_to[s] ~= reading then
          best, fewest = s, count
        end
      end
      k = rarest.following[k]
    end
  end
  return best, fewest
end

-- The shard that came to src last of those that i needs, of the last four, and its copies, those under way counted. What came last
-- is still spreading, so it has fewer copies than most: in a large swarm most searches end here, and to look on is dear.
local function recent_shard(j, src, i)
  local recent = j.recent[src]
  if not recent then
    return nil
  end
  local have, coming_to, reading = got_by(j, i)
  local known, coming = j.copies, j.coming
  for k = 1, #recent do
    local s = recent[k]
    if not s then
      break
    end
    if coming_to[s] ~= reading then
      local value = BIT[s % 8]
      if (byte_of(have, (s - s % 8) / 8 + 1) or 0) % (2 * value) < value then
        return s, (known[s] or copies_of(j, s)) + (coming[s] or 0)
      end
    end
  end
  return nil, nil
end

local sample = {} -- filled anew for each pair: only its first `count` are of now

-- A shard that src has and i needs, or nil; across zones only what i's zone does not get otherwise.
function common_shard(j, src, i)
  attempt(j)
  local among = j.own_zone == 1 and crosses(j, src, i) and shards_to_cross(j, src, i) or nil
  local by_copies = j.policy == 'rarest-first' or j.policy == 'peers-first'
  local best, fewest, have
  if by_copies then
    if among then
      best, fewest = rare_shard(j, among, '', coming_by(j, i))
    else
      if has_bit(rarest_of(j).holders, src + 0) then
        have = call('GET', j.have[src]) or ''
        best, fewest = rare_shard(j, have, got_by(j, i))
      end
      if not best then -- what it got since then is looked at here
        best, fewest = recent_shard(j, src, i)
      end
    end
    if best and (fewest >= FEW or not j.coming[best]) then
      return best
    end
  end
  local coming = #N[i]._takes
  -- what only one node has would otherwise go from it to all who ask in these moments, and the rest would wait behind it
  local other, copies
  if by_copies and not among then
    have = have or call('GET', j.have[src]) or ''
    other, copies = least_held(j, i, some_bits_but(have, (got_by(j, i)), SAMPLE + coming, sample))
  end
  if not other then
    among = among or without(j.have[src], j.have[i])
    if j.policy == 'random' then
      return not_coming(j, i, some_bits(among, 1 + coming))[1]
    end
    if j.policy == 'sequential' then
      return not_coming(j, i, first_bits(among, 1 + coming))[1]
    end
    other, copies = least_held(j, i, some_bits(among, SAMPLE + coming, sample))
  end
  return (not best or other and copies < fewest) and other or best
end

-- Of what i needs and its zone lacks, the shards to be looked for first.
function shards_from_abroad(j, i)
  local wanted, found = wanted_from_abroad(j, i), {}
  for _, s in ipairs(rarest_of(j).shards) do
    if has_bit(wanted, s) then
      found[#found + 1] = s
    end
  end
  return #found > 0 and found or some_bits(wanted, ABROAD)
end
