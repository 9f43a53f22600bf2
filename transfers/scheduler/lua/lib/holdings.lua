-- holdings: who holds which shard of a job, told four ways that change together.
--
-- have:<node> need:<node>  bitmaps over shards (need: neither held nor under way)
-- hold:<shard> got:<shard> bitmaps over nodes (hold: may be asked for it; got: held or under way)
-- givers  bitmap over nodes that can be asked for something
-- rarity  zset shard -> live copies + a random fraction that breaks ties
-- fresh   zset shard -> order: shards with no live copy that nobody reads from the bucket

local TIES = 0.9

local function make_fresh(job, s)
  call('ZADD', job .. ':fresh', s, s)
end

-- A shard that has no live copy and no reader goes back to those the bucket must give.
local function fresh_if_lost(job, s)
  if not call('ZSCORE', job .. ':rarity', s) and call('HEXISTS', job .. ':reading', s) == 0 then
    make_fresh(job, s)
    return true
  end
  return false
end

-- One more live copy.
local function add_copy(job, i, s)
  call('SETBIT', job .. ':hold:' .. s, i, 1)
  if call('ZINCRBY', job .. ':rarity', 1, s) == '1' then
    call('ZADD', job .. ':rarity', 1 + math.random() * TIES, s)
    call('ZREM', job .. ':fresh', s)
  end
end

-- One live copy less, if it counted.
local function remove_copy(job, i, s)
  if call('SETBIT', job .. ':hold:' .. s, i, 0) == 1 and tonumber(call('ZINCRBY', job .. ':rarity', -1, s)) < 1 then
    call('ZREM', job .. ':rarity', s)
  end
end

-- The node's verified copy of s counts from now on. Gives how many it holds, or false when it counted already.
local function hold(job, i, s)
  if call('SETBIT', job .. ':have:' .. i, s, 1) == 1 then
    return false
  end
  call('SETBIT', job .. ':need:' .. i, s, 0)
  call('SETBIT', job .. ':got:' .. s, i, 1)
  if load_node(i).barred == 0 then
    add_copy(job, i, s)
  else
    fresh_if_lost(job, s) -- it keeps the shard to itself
  end
  call('HINCRBY', job, 'held', 1)
  local count = call('HINCRBY', job .. ':counts', i, 1)
  if count == 1 then
    call('SETBIT', job .. ':givers', i, 1)
  end
  return count
end

-- The node's copy of s counts no longer; with `wants`, it is to be fetched again.
local function unhold(job, i, s, wants)
  if call('SETBIT', job .. ':have:' .. i, s, 0) == 1 then
    call('HINCRBY', job, 'held', -1)
    if call('HINCRBY', job .. ':counts', i, -1) == 0 then
      call('SETBIT', job .. ':givers', i, 0)
    end
  end
  remove_copy(job, i, s)
  call('SETBIT', job .. ':got:' .. s, i, 0)
  if wants then
    call('SETBIT', job .. ':need:' .. i, s, 1)
  end
  fresh_if_lost(job, s)
end

-- Nobody is to ask node i for what it holds: it sent damaged bytes, again and again. What it holds stays good for itself.
local function bar(i, name)
  set_node(i, 'barred', 1)
  set_uploader(i)
  for _, job_id in ipairs(call('SMEMBERS', node_key(i) .. ':all')) do
    local job = job_key(job_id)
    local have = call('GET', job .. ':have:' .. i) or ''
    for _, s in ipairs(some_bits(have, #have * 8)) do
      remove_copy(job, i, s)
      fresh_if_lost(job, s)
    end
    call('SETBIT', job .. ':givers', i, 0)
  end
  event('barred', 'node', name)
end
