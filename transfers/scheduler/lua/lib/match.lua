-- match: who gives to whom in a mesh. Every search is bounded; what it misses, the reaper's tick finds.

local IDLE_TRIED = 6    -- sources looked at for one receiver
local PARKED_TRIED = 6  -- receivers looked at for one source

local function avoided(j, src, i)
  if j.avoids <= NOW then
    return false
  end
  local till = call('HGET', j.key .. ':avoid', src .. '>' .. i)
  return till and tonumber(till) > NOW
end

-- Whether some normal node holds s.
local function normal_holder(j, s)
  return without(j.hold .. s, P .. 'slow'):find('[^%z]') ~= nil
end

local IDLE -- bitmap of sources, scratch
at_start[#at_start + 1] = function() IDLE = P .. 'tmp:idle' end

-- A (shard, source) for node i among the idle sources in the bitmap IDLE.
local function seek(j, i)
  local few = some_bits(call('GET', IDLE) or '', IDLE_TRIED + 1)
  if #few > IDLE_TRIED and j.policy == 'rarest-first' then
    local need = call('GET', j.need .. i) or ''
    for _, s in ipairs(rarest_of(j)) do
      if has_bit(need, s) then
        attempts = attempts + 1
        for _, src in ipairs(some_bits(both(j.hold .. s, IDLE), 2)) do
          src = tostring(src)
          if src ~= i and not avoided(j, src, i) and job_lets_send(j, src) then
            return s, src
          end
        end
      end
    end
  end
  for _, src in ipairs(few) do
    src = tostring(src)
    if src ~= i and not avoided(j, src, i) and job_lets_send(j, src) then
      local s = common_shard(j, src, i)
      if s then
        return s, src
      end
    end
  end
  return nil
end

local function idle_normal(j)
  call('BITOP', 'AND', IDLE, P .. 'up', j.key .. ':givers')
  call('BITOP', 'AND', P .. 'tmp', IDLE, P .. 'slow')
  call('BITOP', 'XOR', IDLE, IDLE, P .. 'tmp')
end

-- A (shard, source, how) for node i. Normal nodes read from normal ones and slow from slow, but for a shard that no
-- normal node has, and for a few trials. relaxed: any source will do, for who waited long.
local function find_peer(j, i, n, relaxed)
  if relaxed or not any_slow() then
    call('BITOP', 'AND', IDLE, P .. 'up', j.key .. ':givers')
    local s, src = seek(j, i)
    return s, src, ''
  end
  if is_slow(n) then
    call('BITOP', 'AND', IDLE, P .. 'up', j.key .. ':givers', P .. 'slow')
    local s, src = seek(j, i)
    if s or not may_try(j, n) then
      return s, src, ''
    end
    idle_normal(j)
    s, src = seek(j, i)
    return s, src, 'trial'
  end
  idle_normal(j)
  local s, src = seek(j, i)
  if s then
    return s, src, ''
  end
  call('BITOP', 'AND', IDLE, P .. 'up', j.key .. ':givers', P .. 'slow')
  s, src = seek(j, i)
  if s and not normal_holder(j, s) then
    return s, src, ''
  end
  return nil
end

-- Whether src may give s to the parked node i, and how.
local function fits(j, src, s, i)
  if not any_slow() then
    return true, ''
  end
  local from, to = is_slow(load_node(src)), is_slow(load_node(i))
  if from == to then
    return true, ''
  end
  if to then
    return may_try(j, load_node(i)), 'trial'
  end
  return not normal_holder(j, s), ''
end

-- Whether the parked node i can take a peer's shard now.
local function takes(j, i, src)
  return i ~= src and load_node(i).wants > 0 and room_for_peers(load_node(i), j) > 0 and job_lets_take(j, i) and not avoided(j, src, i)
end

-- A (receiver, shard, how) among the parked nodes for the source src: the neediest that it can serve.
local function find_taker(j, src)
  local parked
  if any_slow() and is_slow(load_node(src)) then
    parked = call('ZRANGE', j.key .. ':parked', SLOW_LAST, '+inf', 'BYSCORE', 'LIMIT', 0, PARKED_TRIED)
    for _, i in ipairs(call('ZRANGE', j.key .. ':parked', 0, 1)) do
      parked[#parked + 1] = i
    end
  else
    parked = call('ZRANGE', j.key .. ':parked', 0, PARKED_TRIED)
  end
  for _, i in ipairs(parked) do
    if takes(j, i, src) then
      local s = common_shard(j, src, i)
      if s then
        local good, how = fits(j, src, s, i)
        if good then
          return i, s, how
        end
      end
    end
  end
  if #parked <= PARKED_TRIED then
    return nil
  end
  local have = call('GET', j.have .. src) or ''
  for _, s in ipairs(rarest_of(j)) do
    if has_bit(have, s) then
      attempts = attempts + 1
      for _, i in ipairs(some_bits(without(j.key .. ':waiting', j.got .. s), 2)) do
        i = tostring(i)
        if takes(j, i, src) then
          local good, how = fits(j, src, s, i)
          if good then
            return i, s, how
          end
        end
      end
    end
  end
  return nil
end

-- Hand an assignment to a parked node.
local function deliver(i, assignment)
  call('RPUSH', inbox_key(i), assignment)
  set_parked(i, load_node(i).wants - 1)
end

-- The first shard that the bucket has to give; suspects are read although they are held.
local function first_fresh(j)
  local s = call('ZRANGE', j.key .. ':fresh', 0, 0)[1]
  if not s then
    return nil
  end
  return s, call('SISMEMBER', j.key .. ':suspects', s) == 1 and 'confirm' or ''
end

local function bucket_free(j) return j.gcs_used < j.gcs_slots end

-- Whether node i can read shard s now: it needs it, or it is to be read again.
local function reads(j, i, s, how)
  local n = load_node(i)
  return may_read_bucket(n, j) and (how == 'confirm' or call('GETBIT', j.need .. i, s) == 1)
end

-- Whether the bucket's shards are better read by others: what only a slow node has reaches the rest slowly.
local function leave_bucket_to_others(j, i)
  if not any_slow() or not is_slow(load_node(i)) then
    return false
  end
  local c = call('HMGET', j.key, 'nodes', 'done', 'failed', 'gone')
  return number(c[1]) - number(c[2]) - number(c[3]) - number(c[4]) > slow_nodes
end

-- Give the bucket's free slots to parked nodes, the neediest first, as long as these need more than `than` (shards held).
local function wake_for_bucket(j, than)
  if j.topology ~= 'mesh' or not is_open(j) or not bucket_free(j) then
    return
  end
  if not call('ZRANGE', j.key .. ':fresh', 0, 0)[1] then
    return
  end
  local from = j.bucket_fills_card and ':parked' or ':readers'
  local parked = call('ZRANGE', j.key .. from, 0, PARKED_TRIED - 1, 'WITHSCORES')
  for k = 1, #parked, 2 do
    local i = parked[k]
    local s, how = first_fresh(j)
    if not s or not bucket_free(j) or than and tonumber(parked[k + 1]) >= than then
      return
    end
    if load_node(i).wants > 0 and reads(j, i, s, how) and not leave_bucket_to_others(j, i) then
      deliver(i, grant(j, i, s, '', how))
    end
  end
end

local function read_bucket(j, i, want, give, relaxed)
  local count = 0
  if not relaxed and leave_bucket_to_others(j, i) then
    return 0
  end
  while count < want and bucket_free(j) do
    local s, how = first_fresh(j)
    if not s or not reads(j, i, s, how) then
      break
    end
    give(grant(j, i, s, '', how))
    count = count + 1
  end
  return count
end

-- Up to `want` transfers for node i. The bucket comes first, so that new shards come in without a gap, and goes to
-- whoever has least; but for peers-first, where it comes last.
local function feed_mesh(j, i, want, give, relaxed)
  local n = load_node(i)
  local count = 0
  if j.policy ~= 'peers-first' and bucket_free(j) then
    wake_for_bucket(j, neediness(j, i, n))
    count = read_bucket(j, i, want, give, relaxed)
  end
  while count < want and room_for_peers(n, j) > 0 and job_lets_take(j, i) do
    local s, src, how = find_peer(j, i, n, relaxed)
    if not s then
      break
    end
    give(grant(j, i, s, src, how))
    count = count + 1
  end
  if j.policy == 'peers-first' then
    count = count + read_bucket(j, i, want - count, give, relaxed)
  end
  return count
end
