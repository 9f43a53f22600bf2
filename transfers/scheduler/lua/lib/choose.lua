-- choose: which shard, for a pair of nodes. The policy is here and nowhere else.
--
-- rarest-first  of what one has and the other needs, what the fewest live nodes hold
-- random        any
-- sequential, peers-first  the first in order

local RAREST = 16 -- shards of the job looked at from the rarest up
local SAMPLE = 8  -- when none of those will do: so many are compared
local attempts -- pairs looked at in this call
at_start[#at_start + 1] = function() attempts = 0 end

-- The job's rarest shards, rarest first.
local function rarest_of(j)
  local list = j.rarest
  if not list then
    list = call('ZRANGE', j.key .. ':rarity', 0, RAREST - 1)
    for k, s in ipairs(list) do
      list[k] = tonumber(s)
    end
    j.rarest = list
  end
  return list
end

local function least_held(j, shards)
  if #shards < 2 then
    return shards[1]
  end
  local copies = call('ZMSCORE', j.key .. ':rarity', unpack(shards))
  local best, least
  for k, s in ipairs(shards) do
    local count = tonumber(copies[k] or 1e9) or 1e9
    if not least or count < least then
      best, least = s, count
    end
  end
  return best
end

-- A shard out of a bitmap; nil when it is empty.
local function choose_shard(j, among)
  if not among:find('[^%z]') then
    return nil
  end
  if j.policy == 'random' then
    return some_bits(among, 1)[1]
  end
  if j.policy == 'sequential' or j.policy == 'peers-first' then
    return first_bit(among)
  end
  for _, s in ipairs(rarest_of(j)) do
    if has_bit(among, s) then
      return s
    end
  end
  return least_held(j, some_bits(among, SAMPLE))
end

local function common_shard(j, src, i)
  attempts = attempts + 1
  return choose_shard(j, both(j.have .. src, j.need .. i))
end

-- What this call looked at beyond one pair for each transfer that it gave, for the figures.
local function count_attempts(given)
  if attempts > given then
    call('INCRBY', P .. 'attempts', attempts - given)
  end
end
