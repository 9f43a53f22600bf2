-- holdings: who holds which shard of a job, told four ways that change together.
--
-- have:<node> need:<node>  bitmaps over shards (need: neither held nor under way)
-- hold:<shard> got:<shard> bitmaps over nodes (hold: may be asked for it; got: held or under way)
-- givers  bitmap over nodes that can be asked for something
-- rarity  zset shard -> live copies + a random fraction that breaks ties
-- fresh   zset shard -> order: shards with no live copy that nobody reads from the bucket

local TIES = 16 -- random parts of a copy

local function make_fresh(j, s)
  call('ZADD', j.key .. ':fresh', s, s)
end

-- A shard that has no live copy and no reader goes back to those the bucket must give.
local function fresh_if_lost(j, s)
  if not call('ZSCORE', j.key .. ':rarity', s) and call('HEXISTS', j.key .. ':reading', s) == 0 then
    make_fresh(j, s)
  end
end

-- One more live copy.
local function add_copy(j, i, s)
  call('SETBIT', j.hold .. s, i, 1)
  if call('ZINCRBY', j.key .. ':rarity', 1, s) == '1' then
    call('ZADD', j.key .. ':rarity', 1 + math.random(0, TIES - 1) / TIES, s)
    call('ZREM', j.key .. ':fresh', s)
  end
end

-- One live copy less, if it counted.
local function remove_copy(j, i, s)
  if call('SETBIT', j.hold .. s, i, 0) == 1 and tonumber(call('ZINCRBY', j.key .. ':rarity', -1, s)) < 1 then
    call('ZREM', j.key .. ':rarity', s)
  end
end

-- The node's verified copy of s counts from now on. Gives how many it holds, or false when it counted already.
local function hold(j, i, s)
  if call('SETBIT', j.have .. i, s, 1) == 1 then
    return false
  end
  if load_node(i).barred == 0 then
    add_copy(j, i, s)
  else
    fresh_if_lost(j, s) -- it keeps the shard to itself
  end
  change_job(j, 'held', j.held + 1)
  local count = call('HINCRBY', j.key .. ':counts', i, 1)
  if count == 1 then
    call('SETBIT', j.key .. ':givers', i, 1)
  end
  return count
end

-- The node's copy of s counts no longer; with `wants`, it is to be fetched again.
local function unhold(j, i, s, wants)
  if call('SETBIT', j.have .. i, s, 0) == 1 then
    change_job(j, 'held', j.held - 1)
    if call('HINCRBY', j.key .. ':counts', i, -1) == 0 then
      call('SETBIT', j.key .. ':givers', i, 0)
    end
  end
  remove_copy(j, i, s)
  call('SETBIT', j.got .. s, i, 0)
  if wants then
    call('SETBIT', j.need .. i, s, 1)
  end
  fresh_if_lost(j, s)
end

-- Nobody is to ask node i for what it holds: it sent damaged bytes, again and again. What it holds stays good for itself.
local function bar(i)
  change_node(i, 'barred', 1)
  set_uploader(i)
  for _, job_id in ipairs(call('SMEMBERS', node_key(i) .. ':all')) do
    local j = load_job(job_id)
    local have = call('GET', j.have .. i) or ''
    for _, s in ipairs(first_bits(have, #have * 8)) do
      remove_copy(j, i, s)
      fresh_if_lost(j, s)
    end
    call('SETBIT', j.key .. ':givers', i, 0)
  end
  event('barred', 'node', load_node(i).name)
end
