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
    elseif call('HINCRBY', node_key(src), 'damaged', 1) >= BAR_AFTER and load_node(src).barred == 0 then
      bar(src)
    end
  end
  local strikes = load_node(src).strikes + 1
  change_node(src, 'strikes', strikes % SHUN_AFTER)
  if strikes >= SHUN_AFTER then
    change_node(src, 'shunned', NOW + SHUN_MS)
    call('ZADD', P .. 'shunned', NOW + SHUN_MS, src)
    set_uploader(src)
  end
end

-- The bucket gave a suspect shard again: the recorded digest stands, or every copy of the old one is dropped.
local function settle_suspect(j, i, s, crc)
  local job = j.key
  call('SREM', job .. ':suspects', s)
  if call('HGET', job .. ':digest', s) == crc then
    return
  end
  call('HSET', job .. ':digest', s, crc)
  local holders = call('GET', job .. ':hold:' .. s) or ''
  for _, other in ipairs(first_bits(holders, #holders * 8)) do
    other = tostring(other)
    if other ~= i then
      unhold(j, other, s, true)
      if call('HGET', job .. ':members', other) == 'done' then
        set_member(job, other, 'ready')
        call('ZADD', node_key(other) .. ':jobs', j.order, j.id)
      end
      call('RPUSH', node_key(other) .. ':orders', cjson.encode({ op = 'drop', job = j.id, shards = { tonumber(s) } }))
    end
  end
end

-- Whether the receiver's digest makes its copy count: "ok", "unsettled" or "rejected".
local function judge(job, l, crc)
  local known = call('HGET', job .. ':digest', l.shard)
  if known == crc then
    return 'ok'
  end
  if l.src == '' then
    -- the first reader's digest is the shard's; while nobody holds it a later read from the bucket may correct it
    if not known or l.how == 'confirm' or not call('ZSCORE', job .. ':rarity', l.shard) then
      if l.how ~= 'confirm' then
        call('HSET', job .. ':digest', l.shard, crc)
      end
      return 'ok'
    end
    return 'rejected'
  end
  return known and 'rejected' or 'unsettled'
end

-- A transfer that brought its shard.
local function accept(i, l, r, crc, out)
  local j = load_job(l.job)
  release(l, true)
  if l.how == 'confirm' then
    settle_suspect(j, i, l.shard, crc)
  end
  local source = l.src ~= '' and load_node(l.src)
  if source then
    change_job(j, 'bytes_peer', j.bytes_peer + r.bytes)
    if source.strikes > 0 then
      change_node(l.src, 'strikes', 0)
    end
  else
    change_job(j, 'bytes_gcs', j.bytes_gcs + r.bytes)
  end
  learn(j, i, l.src, r.bytes, r.ms)
  local count = hold(j, i, l.shard)
  if count or l.how == 'confirm' then
    transfer_event('done', l, load_node(i).name, source and source.name or '', r.bytes, r.ms, crc)
  end
  if (count or number(call('HGET', j.key .. ':counts', i))) == j.shard_count then
    out.finished[#out.finished + 1] = l.job
  end
end

local function reject(i, l, r, verdict, out)
  local bad = verdict == 'corrupt' or verdict == 'rejected'
  if verdict == 'rejected' then
    out.rejected[#out.rejected + 1] = r.lease
  end
  fail_lease(r.lease, bad and 'corrupt' or 'failed', bad and 'digest' or r.why, r.bytes, r.ms, false)
  out.lost[l.job] = true
  if verdict == 'cancelled' then
    return
  end
  if l.src == '' then
    change_node(i, 'gcs_wait', NOW + GCS_WAIT_MS)
    return
  end
  if l.how == 'cut_through' then
    return -- what it forwards is not verified yet: it will blame its own source
  end
  blame(l.src, i, bad)
  if bad then
    call('RPUSH', node_key(l.src) .. ':orders', cjson.encode({ op = 'verify', job = l.job }))
  end
end

local function apply_reports(i, reports)
  local out = { uploaders = {}, lost = {}, unsettled = {}, rejected = {}, stale = {}, finished = {} }
  for _, r in ipairs(reports) do
    local l = load_lease(r.lease)
    if not l or l.dst ~= i then
      out.stale[#out.stale + 1] = r.lease
    else
      local crc = r.crc32c and r.crc32c ~= cjson.null and string.format('%.0f', r.crc32c) or ''
      local verdict = r.outcome
      if verdict == 'ok' then
        verdict = judge(load_job(l.job).key, l, crc)
      end
      if verdict == 'unsettled' then
        out.unsettled[#out.unsettled + 1] = r.lease
        call('ZADD', P .. 'leases', NOW + l.ttl, r.lease)
      else
        if l.src ~= '' then
          out.uploaders[#out.uploaders + 1] = l.src
        else
          out.lost[l.job] = true -- a slot of the bucket is free
        end
        if verdict == 'ok' then
          accept(i, l, r, crc, out)
        else
          reject(i, l, r, verdict, out)
        end
      end
    end
  end
  return out
end
