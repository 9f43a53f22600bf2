-- reports: how a transfer ended, as its receiver tells it.

local SHUN_AFTER = 3      -- corrupt or failed uploads in a row until a source is left alone
local SHUN_MS = 30000
local GCS_WAIT_MS = 500   -- a node whose read from the bucket failed pauses for this long

local function blame(src)
  local strikes = call('HINCRBY', node_key(src), 'strikes', 1)
  if strikes >= SHUN_AFTER then
    call('HSET', node_key(src), 'strikes', 0, 'shunned', NOW + SHUN_MS)
    set_uploader(src)
  end
end

-- The bucket gave a suspect shard again: the recorded digest stands, or every copy of the old one is dropped.
local function settle_suspect(job_id, job, i, s, crc)
  call('SREM', job .. ':suspects', s)
  if call('HGET', job .. ':digest', s) == crc then
    return
  end
  call('HSET', job .. ':digest', s, crc)
  for _, other in ipairs(some_bits(call('GET', job .. ':hold:' .. s) or '', 10000)) do
    if tostring(other) ~= i then
      unhold(job, other, s, true)
      if call('HGET', job .. ':members', other) == 'done' then
        call('HINCRBY', job, 'done', -1)
        call('HSET', job .. ':members', other, 'ready')
        call('ZADD', node_key(other) .. ':jobs', call('HGET', job, 'order'), job_id)
      end
      call('RPUSH', node_key(other) .. ':orders', cjson.encode({ op = 'drop', job = job_id, shards = { tonumber(s) } }))
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
    if not known or l.confirm == '1' or call('BITCOUNT', job .. ':hold:' .. l.shard) == 0 then
      if l.confirm ~= '1' then
        call('HSET', job .. ':digest', l.shard, crc)
      end
      return 'ok'
    end
    return 'rejected'
  end
  return known and 'rejected' or 'unsettled'
end

local function apply_reports(i, reports)
  local out = { uploaders = {}, jobs = {}, unsettled = {}, rejected = {}, stale = {}, finished = {} }
  for _, r in ipairs(reports) do
    local l = load_hash(P .. 'l:' .. r.lease)
    if not l.job or l.dst ~= i then
      out.stale[#out.stale + 1] = r.lease
    else
      local job = job_key(l.job)
      local crc = r.crc32c and r.crc32c ~= cjson.null and string.format('%.0f', r.crc32c) or ''
      local verdict = r.outcome
      if verdict == 'ok' then
        verdict = judge(job, l, crc)
      end
      out.jobs[l.job] = true
      if l.src ~= '' then
        out.uploaders[l.src] = true
      end
      if verdict == 'unsettled' then
        out.unsettled[#out.unsettled + 1] = r.lease
        call('ZADD', P .. 'leases', NOW + number(l.ttl), r.lease)
      elseif verdict == 'ok' then
        release(r.lease)
        if l.confirm == '1' then
          settle_suspect(l.job, job, i, l.shard, crc)
        end
        call('HINCRBY', job, l.src == '' and 'bytes_gcs' or 'bytes_peer', r.bytes)
        if hold(job, i, l.shard) or l.confirm == '1' then
          event('done', 'job', l.job, 'node', ARGV[3], 'shard', l.shard, 'source', l.src == '' and '' or name_of(l.src),
            'bytes', r.bytes, 'ms', r.ms, 'lease', r.lease, 'crc', crc)
        end
        if l.src ~= '' then
          call('HSET', node_key(l.src), 'strikes', 0)
        end
        if number(call('HGET', job .. ':counts', i)) == number(call('HGET', job, 'shard_count')) then
          out.finished[#out.finished + 1] = l.job
        end
      else
        local bad = verdict == 'corrupt' or verdict == 'rejected'
        if verdict == 'rejected' then
          out.rejected[#out.rejected + 1] = r.lease
        end
        fail_lease(r.lease, bad and 'corrupt' or 'failed', bad and 'digest' or r.why, r.bytes, r.ms, false)
        if l.src ~= '' and verdict ~= 'cancelled' then
          blame(l.src)
          if bad then
            call('RPUSH', node_key(l.src) .. ':orders', cjson.encode({ op = 'verify', job = l.job }))
          end
        elseif l.src == '' and verdict ~= 'cancelled' then
          call('HSET', node_key(i), 'gcs_wait', NOW + GCS_WAIT_MS)
        end
      end
    end
  end
  return out
end
