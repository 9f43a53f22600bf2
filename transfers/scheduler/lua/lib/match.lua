-- match: who gives to whom in a mesh. Every search is bounded; what it misses, the reaper's tick finds.

local IDLE_TRIED = 6    -- sources looked at for one receiver
PARKED_TRIED = 6        -- receivers looked at for one source
local HOLDERS_TRIED = 4 -- idle holders of one rare shard looked at
local FRESH_TRIED = 64  -- needed shards looked at for one that the bucket has to give

function avoided(j, src, i)
  if j.avoids <= NOW then
    return false
  end
  local till = call('HGET', j.key .. ':avoid', src .. '>' .. i)
  return till and tonumber(till) > NOW
end

-- Whether some normal node holds s.
local function normal_holder(j, s)
  return without(j.hold[s], P .. 'slow'):find('[^%z]') ~= nil
end

function can_give(j, src, i)
  return src ~= i and (j.avoids <= NOW or not avoided(j, src, i)) and (j.upload_slots == 0 or job_lets_send(j, src))
end

-- A (shard, source) for node i among the idle sources of one kind, "normal" or "slow".
local function seek(j, i, kind)
  local list = (j.idle or idle_of(j))[j.own_zone == 1 and list_of(j, i, kind) or kind]
  local count = list and #list or 0
  if count == 0 then
    return nil
  end
  if count > IDLE_TRIED and (j.policy == 'rarest-first' or j.policy == 'peers-first') then
    for _, s in ipairs(rarest_of(j).shards) do
      if needs(j, i, s) then
        attempt(j)
        for _, src in ipairs(idle_among(j.hold[s], HOLDERS_TRIED, near(j, i))) do
          if N[src]._place == kind and can_give(j, src, i) then
            return s, src
          end
        end
      end
    end
  end
  local at = count == 1 and 1 or math.random(count)
  for _ = 1, count < IDLE_TRIED and count or IDLE_TRIED do
    local src = list[at]
    if can_give(j, src, i) then
      local s = common_shard(j, src, i)
      if s then
        return s, src
      end
    end
    at = at % count + 1
  end
  return nil
end

-- Whether src may give s to node i, and how.
local function fits(j, src, s, i)
  if not any_slow() then
    return true, ''
  end
  local from, to = is_slow(N[src]), is_slow(N[i])
  if from == to then
    return true, ''
  end
  if to then
    return may_try(j, N[i]), 'trial'
  end
  return not normal_holder(j, s), ''
end

-- A (shard, source, how) for node i by peers that it would rather not take from: what its own zone does not have.
local function seek_abroad(j, i, relaxed)
  for _, s in ipairs(relaxed and first_needed(j, i, IDLE_TRIED) or shards_from_abroad(j, i)) do
    attempt(j)
    for _, src in ipairs(idle_among(j.hold[s], HOLDERS_TRIED)) do
      if can_give(j, src, i) then
        local good, how = fits(j, src, s, i)
        if good or relaxed then
          return s, src, how or ''
        end
      end
    end
  end
  return nil
end

-- A (shard, source, how) for node i among the idle sources, of its own zone where the job keeps to it. Normal nodes read
-- from normal ones and slow from slow, but for a shard that no normal node has, and for a few trials. relaxed: any source
-- will do, for who waited long.
local function find_near_peer(j, i, n, relaxed)
  local first, second = 'normal', 'slow'
  local slow = is_slow(n)
  if slow then
    first, second = second, first
  end
  local s, src = seek(j, i, first)
  if s or M.slow_count == 0 or not any_slow() then
    return s, src, ''
  end
  if slow and not relaxed and not may_try(j, n) then
    return nil
  end
  s, src = seek(j, i, second)
  if s and (slow or relaxed or not normal_holder(j, s)) then
    return s, src, slow and not relaxed and 'trial' or ''
  end
  return nil
end

local function find_peer(j, i, n, relaxed)
  if j.own_zone == 0 then
    return find_near_peer(j, i, n, relaxed)
  end
  local s, src, how = find_near_peer(j, i, n, relaxed)
  if s then
    return s, src, how
  end
  return seek_abroad(j, i, relaxed and n._down == 0)
end

-- Whether the parked node i can take a peer's shard now.
function takes(j, i, src)
  local n = N[i]
  return i ~= src and n._wants > 0 and room_for_peers(n, j) > 0 and job_lets_take(j, i) and not avoided(j, src, i)
end

-- A (receiver, shard, how) among the parked nodes for the source src: the neediest that it can serve.
function find_taker(j, src)
  if j.parked_count == 0 then
    return nil
  end
  local parked
  if any_slow() and is_slow(N[src]) then
    parked = call('ZRANGE', j.key .. ':parked', SLOW_LAST, '+inf', 'BYSCORE', 'LIMIT', 0, PARKED_TRIED)
    for _, i in ipairs(call('ZRANGE', j.key .. ':parked', 0, 1)) do
      parked[#parked + 1] = i
    end
  else
    parked = call('ZRANGE', j.key .. ':parked', 0, PARKED_TRIED)
  end
  local all = #parked <= PARKED_TRIED
  if j.own_zone == 1 then
    for _, i in ipairs(some_bits(both(j.key .. ':waiting', near(j, src)), PARKED_TRIED)) do
      parked[#parked + 1] = text_of(i)
    end
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
  if all then
    return nil
  end
  local have = call('GET', j.have[src]) or ''
  for _, s in ipairs(rarest_of(j).shards) do
    if has_bit(have, s) then
      attempt(j)
      for _, i in ipairs(some_bits(without(j.key .. ':waiting', j.hold[s]), 2)) do
        i = text_of(i)
        if takes(j, i, src) and needs(j, i, s) and (not crosses(j, src, i) or may_cross(j, i, s)) then
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
function deliver(i, assignment)
  N[i]._handed = true
  call('RPUSH', inbox_key(i), assignment)
  set_parked(i, N[i]._wants - 1)
end

-- Give node i an assignment: into the list `given`, while it asks, or into its inbox. id: of its lease.
function give(given, i, assignment, id)
  if given then
    local at = #given + 1
    given[at], given.ids[at] = assignment, id
  else
    deliver(i, assignment)
  end
end

-- The first shard that the bucket has to give and that node i can use, and how: one that it needs, or a suspect, which is
-- read again although it is held. (A barred node keeps what it holds to itself: a shard may be fresh, and be there.)
local function fresh_for(j, i)
  if j.fresh_count == 0 then
    return nil
  end
  local s = tonumber(call('ZRANGE', j.key .. ':fresh', 0, 0)[1])
  if call('SISMEMBER', j.key .. ':suspects', s) == 1 then
    return s, 'confirm'
  end
  if needs(j, i, s) then
    return s, ''
  end
  local needed = first_needed(j, i, FRESH_TRIED)
  local fresh = #needed > 0 and call('ZMSCORE', j.key .. ':fresh', unpack(needed)) or {}
  for k, order in ipairs(fresh) do
    if order then
      return needed[k], ''
    end
  end
  return nil
end

local function bucket_free(j) return j.gcs_used < j.gcs_slots end

over_budget = {} -- jobs that could not be completed within their budgets; they end with this call (lib/ending.lua)
acts.after_break[#acts.after_break + 1] = function() over_budget = {} end

-- Whether the job's budget has room for one more read of shard s: what was read, what is being read, and this one.
function within_budget(j, s)
  if j.gcs_budget > 0 and j.bytes_gcs + j.gcs_flight + bytes_of(j, s) > j.gcs_budget then
    over_budget[#over_budget + 1] = j.id
    return false
  end
  return true
end

-- Whether both the job and node n have a read from the bucket to spare.
function can_read(j, n) return bucket_free(j) and may_read_bucket(n, j) end

-- What node i can read from the bucket now: (shard, how), or nil.
function next_read(j, i)
  if not can_read(j, N[i]) then
    return nil
  end
  local s, how = fresh_for(j, i)
  if s and within_budget(j, s) then
    return s, how
  end
  return nil
end

-- Whether the bucket's shards are better read by others: what only a slow node has reaches the rest slowly.
function leave_bucket_to_others(j, i)
  if not any_slow() or not is_slow(N[i]) then
    return false
  end
  return j.nodes - j.done - j.failed - j.gone > slow_nodes()
end

-- Give the bucket's free slots to parked nodes, the neediest first, as long as these need more than `than` (shards held).
function wake_for_bucket(j, than)
  if j.topology ~= 'mesh' or not is_open(j) or not bucket_free(j) or j.fresh_count == 0 then
    return
  end
  if j.bucket_fills_card and j.parked_count == 0 then
    return
  end
  local from = j.bucket_fills_card and ':parked' or ':readers'
  local parked = call('ZRANGE', j.key .. from, 0, PARKED_TRIED - 1, 'WITHSCORES')
  for k = 1, #parked, 2 do
    local i = parked[k]
    if j.fresh_count == 0 or not bucket_free(j) or than and tonumber(parked[k + 1]) >= than then
      return
    end
    if N[i]._wants > 0 and not leave_bucket_to_others(j, i) then
      local s, how = next_read(j, i)
      if s then
        deliver(i, grant(j, i, s, '', how))
      end
    end
  end
end

local function read_bucket(j, i, want, given, relaxed)
  local count = 0
  if not relaxed and leave_bucket_to_others(j, i) then
    return 0
  end
  while count < want do
    local s, how = next_read(j, i)
    if not s then
      break
    end
    give(given, i, grant(j, i, s, '', how))
    count = count + 1
  end
  return count
end

-- Up to `want` transfers for node i, and what follows them. The bucket comes first, so that new shards come in without a
-- gap, and goes to whoever has least; but for peers-first, where it comes last.
function feed_mesh(j, i, want, given, relaxed)
  local n = N[i]
  local count = 0
  if j.fresh_count > 0 and j.policy ~= 'peers-first' and bucket_free(j) then
    wake_for_bucket(j, neediness(j, i, n))
    count = read_bucket(j, i, want, given, relaxed)
  end
  local room = count < want and room_for_peers(n, j) or 0
  while room > 0 and count < want and (not j.limits or job_lets_take(j, i)) do
    local s, src, how = find_peer(j, i, n, relaxed)
    if not s then
      break
    end
    local assignment, id = grant(j, i, s, src, how)
    give(given, i, assignment, id)
    count, room = count + 1, room - 1
    if given and how == '' and may_follow(j, i, s) then
      local second = common_shard(j, src, i)
      if second and may_follow(j, i, second) then
        give(given, i, grant(j, i, second, src, '', id))
      end
    end
  end
  if j.policy == 'peers-first' then
    count = count + read_bucket(j, i, want - count, given, relaxed)
  end
  return count
end
