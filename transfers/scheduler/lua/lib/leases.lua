-- leases: a transfer's life. `grant` takes the slots, `release` frees them, and nothing else does.
--
-- leases    zset lease -> when it expires
-- l:<lease> hash job shard dst src started bytes ttl how
-- n:<i>:in:<epoch> inbox list of a parked node; n:<i>:takes, n:<i>:serves sets of leases
-- j:<job>:ups, j:<job>:downs hash node -> transfers of this job, for jobs that limit them

local function limited(job, kind, i, limit)
  return limit > 0 and number(call('HGET', job .. kind, i)) >= limit
end

-- Whether the job's own limits let src send, or dst receive, one more.
local function job_lets_send(j, src) return not limited(j.key, ':ups', src, j.upload_slots) end
local function job_lets_take(j, dst) return not limited(j.key, ':downs', dst, j.download_slots) end

local function count_for_job(j, dst, src, by)
  if src == '' or not exists(j) then
    return
  end
  if j.upload_slots > 0 then
    call('HINCRBY', j.key .. ':ups', src, by)
  end
  if j.download_slots > 0 then
    call('HINCRBY', j.key .. ':downs', dst, by)
  end
end

-- Lease shard s of job j to node i from node src ('' is the bucket). Gives the assignment as the agent reads it, as JSON.
-- how: cut_through (the source may still be receiving it), confirm (a suspect shard), trial (src is normal, i was slow)
local function grant(j, i, s, src, how)
  local id = string.format('%d', call('INCR', P .. 'lease_seq'))
  local expires = NOW + j.lease_ms
  call('ZADD', P .. 'leases', expires, id)
  call('HSET', P .. 'l:' .. id, 'job', j.id, 'shard', s, 'dst', i, 'src', src, 'started', NOW, 'bytes', 0,
    'ttl', j.lease_ms, 'how', how)
  call('SADD', node_key(i) .. ':takes', id)
  call('SETBIT', j.need .. i, s, 0)
  call('SETBIT', j.got .. s, i, 1)
  local out = { lease = id, job = j.id, shard = tonumber(s), source = '', expires = expires }
  if how ~= 'confirm' then
    out.digest = call('HGET', j.key .. ':digest', s) or nil
  end
  if src == '' then
    change_node(i, 'gcs', load_node(i).gcs + 1)
    change_job(j, 'gcs_used', j.gcs_used + 1)
    call('HINCRBY', j.key .. ':reading', s, 1)
    call('ZREM', j.key .. ':fresh', s)
    out.confirm = how == 'confirm' or nil
    return cjson.encode(out)
  end
  if how == 'trial' then
    call('INCR', P .. 'trials')
  end
  change_node(i, 'down', load_node(i).down + 1)
  local n = load_node(src)
  change_node(src, 'up', n.up + 1)
  set_uploader(src)
  call('SADD', node_key(src) .. ':serves', id)
  count_for_job(j, i, src, 1)
  out.source = n.name
  out.address, out.ticket = access(src, j.id, s, load_node(i).name)
  out.cut_through = how == 'cut_through' or nil
  return cjson.encode(out)
end

local function load_lease(id)
  local v = call('HMGET', P .. 'l:' .. id, 'job', 'shard', 'dst', 'src', 'how', 'ttl')
  if not v[1] then
    return nil
  end
  return { id = id, job = v[1], shard = v[2], dst = v[3], src = v[4], how = v[5], ttl = number(v[6]) }
end

-- End a lease: both slots are free; unless it brought its shard, that is wanted again.
local function release(l, brought)
  local j = load_job(l.job)
  local dst = load_node(l.dst)
  call('DEL', P .. 'l:' .. l.id)
  call('ZREM', P .. 'leases', l.id)
  call('SREM', node_key(l.dst) .. ':takes', l.id)
  if l.src == '' then
    change_node(l.dst, 'gcs', dst.gcs - 1)
    if exists(j) then
      change_job(j, 'gcs_used', j.gcs_used - 1)
      if call('HINCRBY', j.key .. ':reading', l.shard, -1) <= 0 then
        call('HDEL', j.key .. ':reading', l.shard)
      end
    end
  else
    if l.how == 'trial' then
      call('DECR', P .. 'trials')
    end
    change_node(l.dst, 'down', dst.down - 1)
    change_node(l.src, 'up', load_node(l.src).up - 1)
    set_uploader(l.src)
    call('SREM', node_key(l.src) .. ':serves', l.id)
    count_for_job(j, l.dst, l.src, -1)
  end
  if not brought and call('EXISTS', j.need .. l.dst) == 1 and call('GETBIT', j.have .. l.dst, l.shard) == 0 then
    call('SETBIT', j.need .. l.dst, l.shard, 1)
    call('SETBIT', j.got .. l.shard, l.dst, 0)
    fresh_if_lost(j, l.shard)
  end
  if dst.wants > 0 then
    set_parked(l.dst, dst.wants) -- it waits with one slot more
  end
end

-- Release a lease that did not bring its shard, and tell the record and, with `tell`, its receiver.
local AVOID_MS = 10000
local AVOID_FORWARDER_MS = 300 -- the fault may well be of the one that it receives from
local function fail_lease(id, kind, why, bytes, ms, tell)
  local l = load_lease(id)
  if not l then
    return nil
  end
  release(l, false)
  local j = load_job(l.job)
  transfer_event(kind, l, load_node(l.dst).name, l.src == '' and '' or load_node(l.src).name, bytes, ms, why)
  if l.src == '' then
    change_job(j, 'bytes_gcs', j.bytes_gcs + bytes)
    if call('SISMEMBER', j.key .. ':suspects', l.shard) == 1 then
      make_fresh(j, l.shard)
    end
  else
    change_job(j, 'bytes_peer', j.bytes_peer + bytes)
    if why ~= 'moved' then
      local till = NOW + (l.how == 'cut_through' and AVOID_FORWARDER_MS or AVOID_MS)
      change_job(j, 'avoids', math.max(j.avoids, till))
      call('HSET', j.key .. ':avoid', l.src .. '>' .. l.dst, till)
    end
  end
  if tell then
    call('SADD', node_key(l.dst) .. ':dropped', id)
  end
  return l
end
