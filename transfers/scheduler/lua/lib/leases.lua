-- leases: a transfer's life. `grant` takes the slots, `release` frees them, and nothing else does.
--
-- leases    zset lease -> when it expires
-- l:<lease> hash job shard dst src started bytes ttl confirm
-- n:<i>:in:<epoch> inbox list of a parked node; n:<i>:takes, n:<i>:serves, j:<job>:leases sets of leases

local function set_uploader(i)
  local n = call('HMGET', node_key(i), 'up', 'up_max', 'state', 'shunned')
  local free = (n[3] == 'live' or n[3] == 'draining') and number(n[1]) < number(n[2]) and number(n[4]) <= NOW
  call('SETBIT', P .. 'up', i, free and 1 or 0)
  return free
end

-- Lease shard s of a job to node i from node src ('' is the bucket). Gives the assignment as the agent reads it.
local function grant(job_id, i, s, src, cut_through, confirm)
  local job = job_key(job_id)
  local ttl = number(call('HGET', job, 'lease_ms'))
  local id = string.format('%d', call('INCR', P .. 'lease_seq'))
  local expires = NOW + ttl
  call('ZADD', P .. 'leases', expires, id)
  call('HSET', P .. 'l:' .. id, 'job', job_id, 'shard', s, 'dst', i, 'src', src, 'started', NOW, 'bytes', 0,
    'ttl', ttl, 'confirm', confirm and 1 or 0)
  call('SADD', node_key(i) .. ':takes', id)
  call('SADD', job .. ':leases', id)
  call('SETBIT', job .. ':need:' .. i, s, 0)
  call('SETBIT', job .. ':got:' .. s, i, 1)
  call('HINCRBY', P .. 'counters', 'assigned', 1)
  local out = { lease = id, job = job_id, shard = tonumber(s), source = '', expires = expires }
  local digest = call('HGET', job .. ':digest', s)
  if digest and not confirm then
    out.digest = digest
  end
  if src == '' then
    call('HINCRBY', node_key(i), 'gcs', 1)
    call('HINCRBY', job, 'gcs_used', 1)
    call('HINCRBY', job .. ':reading', s, 1)
    call('ZREM', job .. ':fresh', s)
    out.confirm = confirm or nil
    if confirm then
      out.digest = nil
    end
  else
    call('HINCRBY', node_key(i), 'down', 1)
    call('HINCRBY', node_key(src), 'up', 1)
    call('SADD', node_key(src) .. ':serves', id)
    set_uploader(src)
    local n = call('HMGET', node_key(src), 'name', 'address', 'key')
    out.source, out.address = n[1], n[2]
    out.ticket = make_ticket(n[3], job_id, s, name_of(i))
    out.cut_through = cut_through or nil
  end
  return out
end

-- End a lease: both slots are free, the shard is wanted again unless it is held. Gives the lease as it was, or nil.
local function release(id)
  local l = load_hash(P .. 'l:' .. id)
  if not l.job then
    return nil
  end
  local job = job_key(l.job)
  call('DEL', P .. 'l:' .. id)
  call('ZREM', P .. 'leases', id)
  call('SREM', node_key(l.dst) .. ':takes', id)
  call('SREM', job .. ':leases', id)
  if l.src == '' then
    call('HINCRBY', node_key(l.dst), 'gcs', -1)
    if call('EXISTS', job) == 1 then
      call('HINCRBY', job, 'gcs_used', -1)
      if call('HINCRBY', job .. ':reading', l.shard, -1) <= 0 then
        call('HDEL', job .. ':reading', l.shard)
      end
    end
  else
    call('HINCRBY', node_key(l.dst), 'down', -1)
    call('HINCRBY', node_key(l.src), 'up', -1)
    call('SREM', node_key(l.src) .. ':serves', id)
    set_uploader(l.src)
  end
  if call('EXISTS', job .. ':need:' .. l.dst) == 1 and call('GETBIT', job .. ':have:' .. l.dst, l.shard) == 0 then
    call('SETBIT', job .. ':need:' .. l.dst, l.shard, 1)
    call('SETBIT', job .. ':got:' .. l.shard, l.dst, 0)
    fresh_if_lost(job, l.shard)
  end
  return l
end

-- Release a lease that did not bring its shard, and tell the record and, with `tell`, its receiver.
local AVOID_MS = 10000
local function fail_lease(id, kind, why, bytes, ms, tell)
  local l = release(id)
  if not l then
    return nil
  end
  local job = job_key(l.job)
  event(kind, 'job', l.job, 'node', name_of(l.dst), 'shard', l.shard, 'source', l.src == '' and '' or name_of(l.src),
    'why', why, 'bytes', bytes, 'ms', ms, 'lease', id)
  if l.src == '' then
    call('HINCRBY', job, 'bytes_gcs', bytes)
    if call('SISMEMBER', job .. ':suspects', l.shard) == 1 then
      make_fresh(job, l.shard)
    end
  else
    call('HINCRBY', job, 'bytes_peer', bytes)
    call('HSET', job .. ':avoid', l.src .. '>' .. l.dst, NOW + AVOID_MS)
  end
  if tell then
    call('SADD', node_key(l.dst) .. ':dropped', id)
  end
  return l
end

-- Hand an assignment to a parked node.
local function deliver(i, assignment)
  call('RPUSH', inbox_key(i), cjson.encode(assignment))
end
