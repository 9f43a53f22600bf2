-- choose: which shard, for a pair of nodes. The policy is here and nowhere else.
--
-- rarest-first, peers-first  of what one has and the other needs, what the fewest live nodes hold
-- random                     any
-- sequential                 the first in order

local RAREST, RAREST_LAST = 16, '15' -- shards of the job looked at from the rarest up
local SAMPLE = 8        -- when none of those will do: so many are compared
local FEW = 3           -- copies, those under way among them, up to which another shard is looked for instead
local REFRESHED_EVERY = 8 -- calls after which the rarest are read again; a new shard's first copy has them read at once

local byte_of = ('').byte -- while a library is loaded there is no `string` by name

-- The job's rarest shards, rarest first, as lists side by side: shards, byte of a bitmap and value in that byte (bits.lua),
-- live copies when they were read. Used again when they are read anew.
function rarest_of(j)
  local list = j.rarest
  if list and j.rarest_from + REFRESHED_EVERY > calls then
    return list
  end
  list = list or { shards = {}, bytes = {}, values = {}, copies = {} }
  local found = call('ZRANGE', j.key .. ':rarity', '0', RAREST_LAST, 'WITHSCORES')
  local shards, bytes, values, copies, all = list.shards, list.bytes, list.values, list.copies, j.copies
  for k = 1, RAREST do
    local s = found[2 * k - 1]
    s = s and s + 0
    shards[k] = s
    if s then
      local count = found[2 * k] + 0
      all[s], copies[k] = count, count
      bytes[k], values[k] = (s - s % 8) / 8 + 1, BIT[s % 8]
    end
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
  local rarest, now, coming = rarest_of(j), j.copies, j.coming
  local shards, bytes, values, copies = rarest.shards, rarest.bytes, rarest.values, rarest.copies
  for k = 1, #shards do
    if best and fewest <= copies[k] then
      break -- copies only come to be: this and all after it have as many by now
    end
    local byte, value = byte_of(among, bytes[k]), values[k]
    if byte and byte % (2 * value) >= value then
      local s = shards[k]
      local count = (now[s] or 0) + (coming[s] or 0)
      if not best or count < fewest then
        best, fewest = s, count
      end
    end
  end
  if best and (not coming[best] or fewest >= FEW) then
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
  for _, s in ipairs(rarest_of(j).shards) do
    if has_bit(wanted, s) then
      found[#found + 1] = s
    end
  end
  return #found > 0 and found or some_bits(wanted, SAMPLE)
end
