-- holdings: who holds which shard of a job, told in several ways that change together.
--
-- have:<node>  bitmap over shards
-- all          bitmap of every shard
-- hold:<shard>             bitmap over nodes that can be asked for it
-- got:<shard>              pipelines only: bitmap over nodes that hold it or receive it
-- rarity  zset shard -> live copies; the last calls' may be missing (lib/lag.lua)
-- fresh   zset shard -> order: shards with no live copy that nobody reads from the bucket
-- digest  hash shard -> CRC-32C, of its first reader
--
-- j.recent: node -> the four shards that came to it last, newest first. It is remembered and not in Redis, so it is not always known.

-- What breaks ties between shards of as many copies: a fraction of its own for each, that of its multiple of the golden ratio, which
-- is far from its neighbours' (Knuth, The Art of Computer Programming 3, 6.4). It is added where copies are remembered, and not in
-- Redis, where whole numbers are kept, read and written in a third of the time.
-- So a shard of which Redis tells so many copies is remembered as this. (An earlier version kept fractions of its own there.)
function with_tie(s, copies) return copies - copies % 1 + s * 0.6180339887498949 % 1 end

-- What is known of one node and one job, for the matches of one call: what it receives or was given since, shard -> the
-- number of the reading (of earlier readings something may be left there); and what it holds, once that was read.
local asked_call, asked_job, asked_node, asked_have
local coming_to, reading = {}, 0

-- What comes to node i, or came in this call: the shards that have this number in this table.
function coming_by(j, i)
  if asked_job ~= j or asked_node ~= i or asked_call ~= calls then
    asked_call, asked_job, asked_node, asked_have = calls, j, i, nil
    reading = reading + 1
    local takes = N[i]._takes
    for k = 1, #takes do
      local l = takes[k]
      if l._job == j.id then
        coming_to[l._shard] = reading
      end
    end
  end
  return coming_to, reading
end

-- The bitmap of what node i holds, and what comes to it. All other shards it needs.
function got_by(j, i)
  coming_by(j, i)
  asked_have = asked_have or call('GET', j.have[i]) or ''
  return asked_have, coming_to, reading
end

-- Shard s comes to node i from now on.
function comes_to(j, i, s)
  if asked_job == j and asked_node == i then
    coming_to[s] = reading
  end
end

-- What node i holds or receives is to be read again.
function got_changed() asked_job = nil end

function needs(j, i, s)
  local have, coming, number_of = got_by(j, i)
  return coming[s] ~= number_of and not has_bit(have, s)
end

-- The first `limit` shards that node i needs.
function first_needed(j, i, limit)
  local have, coming, number_of = got_by(j, i)
  return first_gaps(have, j.shard_count, limit, coming, number_of)
end

-- Of these shards those that do not come to node i yet.
function not_coming(j, i, shards)
  local coming, number_of = coming_by(j, i)
  local left = {}
  for _, s in ipairs(shards) do
    if coming[s] ~= number_of then
      left[#left + 1] = s
    end
  end
  return left
end

-- How many shards node i holds.
function count_of(j, i)
  local count = j.counts[i]
  if not count then
    count = call('BITCOUNT', j.have[i])
    j.counts[i] = count
  end
  return count
end

-- text: s as text, where there is one.
function digest_of(j, s, text)
  local crc = j.digests[s]
  if not crc then
    crc = call('HGET', j.key .. ':digest', text or s)
    j.digests[s] = crc or nil
  end
  return crc
end

function set_digest(j, s, crc)
  call('HSET', j.key .. ':digest', s, crc)
  j.digests[s] = crc
end

function make_fresh(j, s)
  j.fresh_count = j.fresh_count + call('ZADD', j.key .. ':fresh', s, s)
end

function unmake_fresh(j, s)
  if j.fresh_count > 0 then
    j.fresh_count = j.fresh_count - call('ZREM', j.key .. ':fresh', s)
  end
end

function has_copy(j, s) return call('ZSCORE', j.rarity, s) ~= false end

-- A job that is known again awaits what its nodes hold. When all have told, or it is too late, the bucket has to give what
-- nobody holds. Gives whether that is now. O(shards) then.
function await_over(j)
  if j.awaits == 0 or NOW < j.awaits and j.heard + j.done + j.failed + j.gone < j.nodes then
    return false
  end
  change_job(j, 'awaits', 0)
  for _, s in ipairs(call('HKEYS', j.key .. ':digest')) do
    fresh_if_lost(j, tonumber(s))
  end
  return true
end

-- A shard that has no live copy and no reader goes back to those the bucket must give.
function fresh_if_lost(j, s)
  if not has_copy(j, s) and call('HEXISTS', j.key .. ':reading', s) == 0 then
    make_fresh(j, s)
  end
end

-- Copies are counted in j.copies, with what breaks ties, and written some at once; a shard's first copy is written when it comes.
-- j.late, j.late_count: shards of which they are to be written, some of them more than once. M.late: jobs that may have such.

local LATE_AT_ONCE = 1000

function write_copies(j)
  local count = j.late_count
  if count == 0 then
    return
  end
  local late, copies = j.late, j.copies
  for k = 1, count do
    local s = late[k]
    local whole = copies[s] - copies[s] % 1
    row[2 * k - 1], row[2 * k] = TEXTS[whole] or text_of(whole), TEXTS[s] or text_of(s)
  end
  call('ZADD', j.rarity, unpack(row, 1, 2 * count))
  j.late_count = 0
end

acts.catch_up[#acts.catch_up + 1] = function()
  local jobs = M.late
  for k = 1, #jobs do
    write_copies(jobs[k])
    jobs[k].is_late, jobs[k] = nil, nil
  end
end

acts.leave[#acts.leave + 1] = function()
  local jobs = M.late
  for k = 1, #jobs do
    local j = jobs[k]
    if not may_leave(j.id) then
      write_copies(j)
    end
  end
end

-- Copies are who holds a shard: O(shards).
acts.repair[#acts.repair + 1] = function(what)
  local j = what ~= 'up' and load_job(what)
  if not (j and exists(j)) then
    return
  end
  local told = call('ZRANGE', j.rarity, 0, -1, 'WITHSCORES')
  local scores = {}
  for k = 1, #told, 2 do
    scores[told[k] + 0] = told[k + 1] + 0
  end
  for s = 0, j.shard_count - 1 do
    local copies, score = call('BITCOUNT', j.hold[s]), scores[s]
    if copies > 0 and copies ~= score then
      call('ZADD', j.rarity, copies, s)
    end
    if copies > 0 and not score and call('SISMEMBER', j.key .. ':suspects', s) == 0 then
      unmake_fresh(j, s)
    elseif copies == 0 and score then
      call('ZREM', j.rarity, s)
      fresh_if_lost(j, s)
    end
  end
end

local function count_late(j, s)
  if not j.is_late then
    j.is_late, M.at_ease = true, false
    M.late[#M.late + 1] = j
  end
  local count = j.late_count + 1
  j.late_count, j.late[count] = count, s
  if count == LATE_AT_ONCE then
    write_copies(j)
  end
end

-- One more live copy.
local function add_copy(j, i, s, text)
  call('SETBIT', j.hold[s], i, '1')
  if j.own_zone == 1 then brought_into_zone(j, i, s) end
  local copies = j.copies[s]
  if copies and copies >= 1 and keeps_memory then
    j.copies[s] = copies + 1
    count_late(j, s)
    return
  end
  copies = call('ZINCRBY', j.rarity, '1', text) + 0
  if copies == 1 then
    unmake_fresh(j, s)
    j.rarest_from = -math.huge
  end
  j.copies[s] = with_tie(s, copies)
end

-- One live copy less, if it counted.
local function remove_copy(j, i, s)
  write_copies(j)
  if call('SETBIT', j.hold[s], i, 0) == 1 and tonumber(call('ZINCRBY', j.rarity, -1, s)) < 1 then
    call('ZREM', j.rarity, s)
  end
  lost_to_zone(j, i, s)
  j.copies[s], j.rarest_from = nil, -math.huge
end

-- A barred node's copy of s is for itself alone: others have to get it elsewhere.
function keep_to_itself(j, i, s)
  fresh_if_lost(j, s)
  lost_to_zone(j, i, s)
end

-- The node's verified copy of s (and as text) counts from now on. Gives how many it holds, or false when it counted already.
function hold(j, i, s, text)
  if call('SETBIT', j.have[i], text, '1') == 1 then
    return false
  end
  asked_job = nil
  local recent = j.recent[i]
  if recent then
    recent[1], recent[2], recent[3], recent[4] = s, recent[1], recent[2], recent[3]
  elseif keeps_memory then
    j.recent[i] = { s, false, false, false }
  end
  local counted = j.tally or tally_of(j)
  counted.held = counted.held + 1
  local counts = j.counts
  local count = counts[i]
  if count then
    count = count + 1
    counts[i] = count
  else
    count = count_of(j, i)
  end
  if N[i]._barred == 0 then
    add_copy(j, i, s, text)
    if count == 1 then
      set_giver(j, i, true)
    end
  else
    keep_to_itself(j, i, s)
  end
  return count
end

-- The node's copy of s counts no longer: it needs it again.
function unhold(j, i, s)
  asked_job, j.recent[i] = nil, nil
  if call('SETBIT', j.have[i], s, 0) == 1 then
    local counted = j.tally or tally_of(j)
    counted.held = counted.held - 1
    j.counts[i] = nil
    if count_of(j, i) == 0 then
      set_giver(j, i, false)
    end
  end
  remove_copy(j, i, s)
  if j.topology == 'pipeline' then
    call('SETBIT', j.got .. s, i, 0)
  end
  fresh_if_lost(j, s)
end

-- Nobody is to ask node i for what it holds: it sent damaged bytes, again and again. What it holds stays good for itself.
function bar(i)
  change_node(i, 'barred', 1)
  set_uploader(i)
  for _, job_id in ipairs(holder_in(i)) do
    local j = load_job(job_id)
    for _, s in ipairs(all_bits(call('GET', j.have[i]) or '')) do
      remove_copy(j, i, s)
      fresh_if_lost(j, s)
    end
    set_giver(j, i, false)
  end
  event('barred', 'node', N[i]._name)
end
