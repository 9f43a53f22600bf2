-- holdings: who holds which shard of a job, told four ways that change together.
--
-- have:<node> need:<node>  bitmaps over shards (need: neither held nor under way)
-- hold:<shard> got:<shard> bitmaps over nodes (got: held or under way)
-- rarity  zset shard -> live copies + a random fraction that breaks ties
-- fresh   zset shard -> order: shards with no live copy that nobody reads from the bucket

local function add_rarity(job, s)
  local copies = call('BITCOUNT', job .. ':hold:' .. s)
  if copies > 0 then
    call('ZADD', job .. ':rarity', copies + math.random() * 0.9, s)
  else
    call('ZREM', job .. ':rarity', s)
  end
  return copies
end

-- What order the bucket's shards come in: random order gives each reader a part of its own under `random`.
local function make_fresh(job, s)
  call('ZADD', job .. ':fresh', s, s)
end

-- A shard that has no live copy and no reader goes back to those the bucket must give.
local function fresh_if_lost(job, s)
  if call('BITCOUNT', job .. ':hold:' .. s) == 0 and call('HEXISTS', job .. ':reading', s) == 0 then
    make_fresh(job, s)
    return true
  end
  return false
end

-- The node's verified copy of s counts from now on. Returns false when it counted already.
local function hold(job, i, s)
  if call('SETBIT', job .. ':have:' .. i, s, 1) == 1 then
    return false
  end
  call('SETBIT', job .. ':need:' .. i, s, 0)
  call('SETBIT', job .. ':hold:' .. s, i, 1)
  call('SETBIT', job .. ':got:' .. s, i, 1)
  call('HINCRBY', job .. ':counts', i, 1)
  call('HINCRBY', job, 'held', 1)
  add_rarity(job, s)
  call('ZREM', job .. ':fresh', s)
  return true
end

-- The node's copy of s counts no longer; with `wants`, it is to be fetched again.
local function unhold(job, i, s, wants)
  if call('SETBIT', job .. ':have:' .. i, s, 0) == 1 then
    call('HINCRBY', job .. ':counts', i, -1)
    call('HINCRBY', job, 'held', -1)
  end
  call('SETBIT', job .. ':hold:' .. s, i, 0)
  call('SETBIT', job .. ':got:' .. s, i, 0)
  if wants then
    call('SETBIT', job .. ':need:' .. i, s, 1)
  end
  add_rarity(job, s)
  fresh_if_lost(job, s)
end
