-- reports: how a transfer ended, as its receiver tells it.

local SHUN_AFTER = 3      -- failed uploads in a row until a source is left alone for a while
local SHUN_MS = 30000
local BAR_AFTER = 3       -- damaged shards from a source since it registered until it serves no more
local COMPLAINTS = 2      -- sources that one receiver may have barred: beyond that the fault is likely its own
local GCS_WAIT_MS = 500   -- a node whose read from the bucket failed pauses for this long

-- The source failed to deliver, or delivered damaged bytes.
local function blame(src, dst, damaged)
  if damaged then
    if call('SADD', node_key(dst) .. ':accused', src) == 1 and call('SCARD', node_key(dst) .. ':accused') > COMPLAINTS then
      call('SREM', node_key(dst) .. ':accused', src)
    elseif call('HINCRBY', node_key(src), 'damaged', 1) >= BAR_AFTER and N[src]._barred == 0 then
      bar(src)
    end
  end
  local strikes = N[src].strikes + 1
  change_node(src, 'strikes', strikes % SHUN_AFTER)
  if strikes >= SHUN_AFTER then
    change_node(src, 'shunned', NOW + SHUN_MS)
    call('ZADD', P .. 'shunned', NOW + SHUN_MS, src)
    set_uploader(src)
  end
end

-- The bucket gave a suspect shard again: the recorded digest stands, or every copy of the old one is dropped.
local function settle_suspect(j, i, s, crc)
  call('SREM', j.key .. ':suspects', s)
  if digest_of(j, s) == crc then
    return
  end
  set_digest(j, s, crc)
  for _, other in ipairs(all_bits(call('GET', j.hold[s]) or '')) do
    other = tostring(other)
    if other ~= i then
      unhold(j, other, s)
      if member(j, other) == 'done' then
        set_member(j, other, 'ready')
        want_job(other, j)
      end
      for_heartbeat(other, 'orders', cjson.encode({ op = 'drop', job = j.id, shards = { s } }))
    end
  end
end

-- Whether the receiver's digest makes its copy count: "ok", "unsettled" or "rejected".
local function judge(j, l, crc)
  local known = digest_of(j, l._shard)
  if known == crc then
    return 'ok'
  end
  if l._src == '' then
    -- the first reader's digest is the shard's; while nobody holds it a later read from the bucket may correct it
    if not known or l.how == 'confirm' or not has_copy(j, l._shard) then
      if l.how ~= 'confirm' then
        set_digest(j, l._shard, crc)
      end
      return 'ok'
    end
    return 'rejected'
  end
  return known and 'rejected' or 'unsettled'
end

local function note(out, list, value)
  if #out[list] == 0 then
    out[list] = {}
  end
  table.insert(out[list], value)
  out.noteworthy = true
end

local function set_lost(job, out)
  out.lost = out.lost or {}
  out.lost[job] = true
end

-- A transfer that brought its shard. bytes, ms: as text; n: the record of i.
local function accept(j, i, n, l, crc, bytes, ms, first, out)
  release(l, true)
  local shard, src, how = l._shard, l._src, l.how
  if how == 'confirm' then
    settle_suspect(j, i, shard, crc)
  end
  local size = bytes == j.size_text and j.shard_size or tonumber(bytes) or 0
  local from = ''
  if src ~= '' then
    local source, counted = N[src], j.tally or tally_of(j)
    from = source._name
    counted.bytes_peer = counted.bytes_peer + size
    if source.strikes > 0 then
      change_node(src, 'strikes', 0)
    end
  else
    change_job(j, 'bytes_gcs', j.bytes_gcs + size)
  end
  learn(j, i, src, size, tonumber(ms) or 0)
  local count = hold(j, i, shard, l._text)
  if not count and n._barred == 1 then
    keep_to_itself(j, i, shard)
  end
  if count or how == 'confirm' then
    transfer_event('done', l, n._name, from, bytes, ms, first, crc)
  end
  if (count or count_of(j, i)) == j.shard_count then
    note(out, 'finished', l._job)
  end
  use_again(l)
end

local function reject(i, l, verdict, bytes, ms, why, first, out)
  local bad = verdict == 'corrupt' or verdict == 'rejected'
  if verdict == 'rejected' then
    note(out, 'rejected', l._id)
  end
  fail_lease(l._id, bad and 'corrupt' or 'failed', bad and 'digest' or why, number(bytes), number(ms), false, first)
  set_lost(l._job, out)
  if verdict == 'cancelled' then
    return
  end
  if l._src == '' then
    change_node(i, 'gcs_wait', NOW + GCS_WAIT_MS)
    return
  end
  if tonumber(l._started) < number(N[l._src]._epoch) then
    return -- the source has started anew since, and was told nothing of this
  end
  if l.how == 'cut_through' then
    return -- what it forwards is not verified yet: it will blame its own source
  end
  blame(l._src, i, bad)
  if bad then
    for_heartbeat(l._src, 'orders', cjson.encode({ op = 'verify', job = l._job, shards = { l._shard } }))
  end
end

-- Who can serve somebody now because of what became of lease l.
local function set_free(l, out)
  local uploaders = out.uploaders
  if l._src ~= '' then
    if uploaders[#uploaders] ~= l._src then uploaders[#uploaders + 1] = l._src end
  else
    set_lost(l._job, out) -- a slot of the bucket is free
  end
end

local FIELDS_A_REPORT = 7

-- What became of the reports: used again by the next call, as most of it is the same list of nothing.
local NOTHING = {}
local out = { uploaders = {}, noteworthy = true }

-- The reports stand from ARGV[first] on, each in seven arguments: lease, outcome, crc32c or '', bytes, ms, why, first_ms or ''.
-- Gives lists: uploaders (nodes that can serve now), unsettled, rejected, stale (leases), finished (jobs), and whether there
-- is anything in the last four: `noteworthy`; lost: jobs of which the bucket may have something to give.
function apply_reports(i, first)
  out.lost = nil
  if out.noteworthy then
    out.unsettled, out.rejected, out.stale, out.finished, out.noteworthy = NOTHING, NOTHING, NOTHING, NOTHING, false
  end
  local uploaders, args, n = out.uploaders, ARGV, N[i]
  for k = #uploaders, 1, -1 do
    uploaders[k] = nil
  end
  for at = first, #args, FIELDS_A_REPORT do
    local l = lease_of(i, args[at])
    local verdict = args[at + 1]
    if not l then
      if verdict ~= 'ending' then
        note(out, 'stale', args[at])
      end
    elseif verdict == 'ending' then
      if nearly_over(l) then
        set_free(l, out)
      end
    else
      local crc, bytes, ms = args[at + 2], args[at + 3], args[at + 4]
      local j = M.jobs[l._job] or load_job(l._job)
      if verdict == 'ok' then
        verdict = j.digests[l._shard] == crc and 'ok' or judge(j, l, crc)
      end
      if verdict == 'unsettled' then
        note(out, 'unsettled', l._id)
        l._expires = later(j.lease_ms)
        takes_changed(n)
      else
        set_free(l, out)
        if verdict == 'ok' then
          accept(j, i, n, l, crc, bytes, ms, args[at + 6], out)
        else
          reject(i, l, verdict, bytes, ms, args[at + 5], args[at + 6], out)
        end
      end
    end
  end
  return out
end
