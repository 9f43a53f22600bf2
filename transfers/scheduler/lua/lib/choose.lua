-- choose: which shard, for a pair of nodes. The policy is here and nowhere else.
--
-- rarest-first, peers-first  of what one has and the other needs, what the fewest live nodes hold
-- random                     any
-- sequential                 the first in order

local RAREST = 16       -- shards of the job looked at from the rarest up
local SAMPLE = 8        -- when none of those will do: so many are compared
local FEW = 3           -- copies, those under way among them, up to which another shard is looked for instead
local REFRESHED_EVERY = 8 -- calls after which the rarest are read again; a new shard's first copy has them read at once

-- The job's rarest shards, rarest first: {shard, byte of a bitmap, mask in that byte, live copies when they were read}.
function rarest_of(j)
  local list = j.rarest
  if list and j.rarest_from + REFRESHED_EVERY > calls then
    return list
  end
  list = {}
  local found = call('ZRANGE', j.key .. ':rarity', 0, RAREST - 1, 'WITHSCORES')
  for k = 1, #found, 2 do
    local s = tonumber(found[k])
    j.copies[s] = tonumber(found[k + 1])
    list[#list + 1] = { s, (s - s % 8) / 8 + 1, BIT[s % 8], j.copies[s] }
  end
  j.rarest, j.rarest_from = list, calls
  return list
end

-- Of these shards the one with the fewest live copies, those under way counted as well, and how many.
local function least_held(j, shards)
  local known, unknown = j.copies, nil
  for _, s in ipairs(shards) do
    if not known[s] then
      unknown = unknown or {}
      unknown[#unknown + 1] = s
    end
  end
  if unknown then
    for k, copies in ipairs(call('ZMSCORE', j.key .. ':rarity', unpack(unknown))) do
      known[unknown[k]] = tonumber(copies or 0)
    end
  end
  local best, fewest
  for _, s in ipairs(shards) do
    local copies = known[s] + (j.coming[s] or 0)
    if not best or copies < fewest then
      best, fewest = s, copies
    end
  end
  return best, fewest
end

-- A shard out of a bitmap; nil when it is empty.
local function choose_shard(j, among)
  if j.policy == 'random' then
    return some_bits(among, 1)[1]
  end
  if j.policy == 'sequential' then
    return first_bit(among)
  end
  local best, fewest
  for _, rare in ipairs(rarest_of(j)) do
    if best and fewest <= rare[4] then
      break -- copies only come to be: this and all after it have as many by now
    end
    local byte = among:byte(rare[2])
    if byte and byte ~= 0 and bit.band(byte, rare[3]) ~= 0 then
      local copies = (j.copies[rare[1]] or 0) + (j.coming[rare[1]] or 0)
      if not best or copies < fewest then
        best, fewest = rare[1], copies
      end
    end
  end
  if best and (not j.coming[best] or fewest >= FEW) then
    return best
  end
  -- what only one node has would otherwise go from it to all who ask in these moments, and the rest would wait behind it
  local other, copies = least_held(j, some_bits(among, SAMPLE))
  return (not best or other and copies < fewest) and other or best
end

-- What src has and i needs; across zones only what i's zone does not get otherwise.
function common_shard(j, src, i)
  attempt(j)
  return choose_shard(j, crosses(j, src, i) and shards_to_cross(j, src, i) or both(j.have .. src, j.need .. i))
end

-- Of what i needs and its zone lacks, the shards to be looked for first.
function shards_from_abroad(j, i)
  local wanted, found = wanted_from_abroad(j, i), {}
  for _, rare in ipairs(rarest_of(j)) do
    if has_bit(wanted, rare[1]) then
      found[#found + 1] = rare[1]
    end
  end
  return #found > 0 and found or some_bits(wanted, SAMPLE)
end
