-- leases: a transfer's life. `grant` takes the slots, `release` frees them, and nothing else does.
--
-- leases    zset lease -> when it expires
-- l:<lease> hash job shard dst src started bytes ttl confirm trial
-- n:<i>:in:<epoch> inbox list of a parked node; n:<i>:takes, n:<i>:serves, j:<job>:leases sets of leases
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
  local job = j.key
  local id = string.format('%d', call('INCR', P .. 'lease_seq'))
  local expires = NOW + j.lease_ms
  call('ZADD', P .. 'leases', expires, id)
  call('HSET', P .. 'l:' .. id, 'job', j.id, 'shard', s, 'dst', i, 'src', src, 'started', NOW, 'bytes', 0,
    'ttl', j.lease_ms, 'how', how)
  call('SADD', node_key(i) .. ':takes', id)
  call('SADD', job .. ':leases', id)
  call('SETBIT', job .. ':need:' .. i, s, 0)
  call('SETBIT', job .. ':got:' .. s, i, 1)
  local out = { lease = id, job = j.id, shard = tonumber(s), source = '', expires = expires }
  if how == 'trial' then
    call('INCR', P .. 'trials')
  end
  if how ~= 'confirm' then
    out.digest = call('HGET', job .. ':digest', s) or nil
  end
  if src == '' then
    use_slot(i, 'gcs', 1)
    j.gcs_used = call('HINCRBY', job, 'gcs_used', 1)
    call('HINCRBY', job .. ':reading', s, 1)
    call('ZREM', job .. ':fresh', s)
    out.confirm = how == 'confirm' or nil
  else
    use_slot(i, 'down', 1)
    use_slot(src, 'up', 1)
    call('SADD', node_key(src) .. ':serves', id)
    count_for_job(j, i, src, 1)
    local n = load_node(src)
    out.source, out.address = n.name, n.address
    out.ticket = make_ticket(n, j.id, s, load_node(i).name)
    out.cut_through = how == 'cut_through' or nil
  end
  return cjson.encode(out)
end

local LEASE_FIELDS = { 'job', 'shard', 'dst', 'src', 'how', 'ttl' }
local function load_lease(id)
  local values = call('HMGET', P .. 'l:' .. id, unpack(LEASE_FIELDS))
  if not values[1] then
    return nil
  end
  return { id = id, job = values[1], shard = values[2], dst = values[3], src = values[4], how = values[5], ttl = number(values[6]) }
end

-- End a lease: both slots are free; unless it brought its shard, that is wanted again.
local function release(l, brought)
  local j = load_job(l.job)
  local job = j.key
  call('DEL', P .. 'l:' .. l.id)
  call('ZREM', P .. 'leases', l.id)
  call('SREM', node_key(l.dst) .. ':takes', l.id)
  call('SREM', job .. ':leases', l.id)
  if l.how == 'trial' then
    call('DECR', P .. 'trials')
  end
  if l.src == '' then
    use_slot(l.dst, 'gcs', -1)
    if exists(j) then
      j.gcs_used = call('HINCRBY', job, 'gcs_used', -1)
      if call('HINCRBY', job .. ':reading', l.shard, -1) <= 0 then
        call('HDEL', job .. ':reading', l.shard)
      end
    end
  else
    use_slot(l.dst, 'down', -1)
    use_slot(l.src, 'up', -1)
    call('SREM', node_key(l.src) .. ':serves', l.id)
    count_for_job(j, l.dst, l.src, -1)
  end
  local n = load_node(l.dst)
  if n.wants > 0 then
    set_parked(l.dst, n.wants) -- it waits with one slot more
  end
  if not brought and call('EXISTS', job .. ':need:' .. l.dst) == 1
    and call('GETBIT', job .. ':have:' .. l.dst, l.shard) == 0 then
    call('SETBIT', job .. ':need:' .. l.dst, l.shard, 1)
    call('SETBIT', job .. ':got:' .. l.shard, l.dst, 0)
    fresh_if_lost(job, l.shard)
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
  event(kind, 'job', l.job, 'node', name_of(l.dst), 'shard', l.shard, 'source', l.src == '' and '' or name_of(l.src),
    'why', why, 'bytes', bytes, 'ms', ms, 'lease', id)
  if l.src == '' then
    call('HINCRBY', j.key, 'bytes_gcs', bytes)
    if call('SISMEMBER', j.key .. ':suspects', l.shard) == 1 then
      make_fresh(j.key, l.shard)
    end
  else
    call('HINCRBY', j.key, 'bytes_peer', bytes)
    if why ~= 'moved' then
      local till = NOW + (l.how == 'cut_through' and AVOID_FORWARDER_MS or AVOID_MS)
      j.avoids = math.max(j.avoids, till)
      call('HSET', j.key, 'avoids', j.avoids)
      call('HSET', j.key .. ':avoid', l.src .. '>' .. l.dst, till)
    end
  end
  if tell then
    call('SADD', node_key(l.dst) .. ':dropped', id)
  end
  return l
end
