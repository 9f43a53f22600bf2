-- leases: a transfer's life. `grant` takes the slots, `release` frees them or hands them on (lib/followers.lua), and nothing else
-- does but `nearly_over`, a moment before the end, so that the next transfer can be made ready.
--
-- A transfer is kept with its receiver (lib/underway.lua). j:<job>:ups, j:<job>:downs  hash node -> transfers of this job, for
-- jobs that limit them. j:<job>:reading  hash shard -> reads from the bucket under way

local LEASES_RESERVED = 1000 -- numbers taken from lease_seq at once

local function below(job, kind, i, limit) return number(call('HGET', job .. kind, i)) < limit end

-- Whether the job's own limits let src send, or dst receive, one more.
function job_lets_send(j, src) return j.upload_slots == 0 or below(j.key, ':ups', src, j.upload_slots) end
function job_lets_take(j, dst) return j.download_slots == 0 or below(j.key, ':downs', dst, j.download_slots) end

local function count_for_job(j, dst, src, by)
  if not exists(j) then
    return
  end
  if j.upload_slots > 0 then
    call('HINCRBY', j.key .. ':ups', src, by)
  end
  if j.download_slots > 0 then
    call('HINCRBY', j.key .. ':downs', dst, by)
  end
end

-- A number below 1,000 as three digits.
local threes = {}
local function three_of(n)
  local text = threes[n]
  if not text then
    text = string.format('%03d', n)
    threes[n] = text
  end
  return text
end

-- Numbers are taken by the thousand: what stands before the last three digits is made as text once.
local function new_lease_id(dst)
  local last = M.lease_last
  if not last or last == LEASES_RESERVED - 1 then
    last = -1
    M.lease_head = string.format('%d', call('INCRBY', P .. 'lease_seq', LEASES_RESERVED) / LEASES_RESERVED)
  end
  last = last + 1
  M.lease_last = last
  return M.lease_head .. three_of(last) .. '.' .. dst
end

-- See to it that the reaper looks at this node's transfers by `when`.
local function look_by(n, when)
  if n._due == 0 or n._due > when then
    call('ZADD', P .. 'due', 'LT', when, n._index)
    n._due = when
  end
end

-- A transfer's slots are taken by it, or free again. dst: its receiver.
local function take_slots(j, l, dst)
  if l._src == '' then
    dst._gcs = dst._gcs + 1
    change_job(j, 'gcs_used', j.gcs_used + 1)
    return
  end
  dst._down = dst._down + 1
  local src = N[l._src]
  local serves = src._serves
  serves[#serves + 1] = l._id
  serves_changed(src)
  place_uploader(l._src, src)
  if j.limits then count_for_job(j, l._dst, l._src, 1) end
end

-- The last of the list takes the place of what is taken out.
local function take_out(list, value)
  local count = #list
  for k = 1, count do
    if list[k] == value then
      list[k] = list[count]
      list[count] = nil
      return
    end
  end
end

local function free_slots(j, l, dst)
  if l._src == '' then
    dst._gcs = dst._gcs - 1
    change_job(j, 'gcs_used', j.gcs_used - 1)
    return
  end
  dst._down = dst._down - 1
  local src = N[l._src]
  take_out(src._serves, l._id)
  serves_changed(src)
  place_uploader(l._src, src)
  if j.limits then count_for_job(j, l._dst, l._src, -1) end
end

-- Bytes of shard s.
function bytes_of(j, s)
  return math.min(j.shard_size, j.size - s * j.shard_size)
end

-- The assignment as the agent reads it, as JSON.
function assignment_of(j, l)
  j.json = j.json or '","job":' .. cjson.encode(j.id) .. ',"shard":'
  local crc = l.how ~= 'confirm' and (j.digests[l._shard] or digest_of(j, l._shard, l._text))
  local digest = crc and ',"digest":' or ''
  crc = crc or ''
  if l._src == '' then
    return '{"lease":"' .. l._id .. j.json .. l._text .. ',"expires":' .. l._expires .. digest .. crc
      .. (l.how == 'confirm' and ',"confirm":true}' or '}')
  end
  local src = N[l._src]
  local good_until, signature = ticket(src, j.id, l._text, N[l._dst]._name)
  return '{"lease":"' .. l._id .. j.json .. l._text .. ',"expires":' .. l._expires .. digest .. crc .. src._place_json
    .. good_until .. '.' .. signature .. (l.how == 'cut_through' and '","cut_through":true}' or l.ending and l.ending ~= true and '","follows":"' .. l.ending .. '"}' or '"}')
end

-- Lease shard s of job j to node i from node src ('' is the bucket). Gives the assignment as JSON, and the lease's id.
-- how: cut_through (the source may still be receiving it), confirm (a suspect shard), trial (src is normal, i was slow)
-- first: id of the transfer from src whose slots it takes when that is over (lib/followers.lua)
function grant(j, i, s, src, how, first)
  local n = N[i]
  local l = new_lease(new_lease_id(i), j.id, s, TEXTS[s] or text_of(s), i, src, NOW_TEXT, later(j.lease_ms))
  if how ~= '' then l.how = how end -- a field more makes the record twice as large
  local takes = n._takes
  takes[#takes + 1] = l
  takes_changed(n)
  if n._due == 0 or n._due > NOW + j.lease_ms then look_by(n, NOW + j.lease_ms) end
  if first then l.ending = first else take_slots(j, l, n) end
  local counted = j.tally or tally_of(j)
  counted.moving, counted.assigned = counted.moving + 1, counted.assigned + 1
  j.coming[s] = (j.coming[s] or 0) + 1
  comes_to(j, i, s)
  if j.topology == 'pipeline' then
    call('SETBIT', j.got .. l._text, i, '1')
  end
  if j.own_zone == 1 then brought_into_zone(j, i, s) end
  if src == '' then
    attempt(j)
    change_job(j, 'gcs_flight', j.gcs_flight + bytes_of(j, s))
    call('HINCRBY', j.key .. ':reading', s, 1)
    unmake_fresh(j, s)
  elseif how == 'trial' then
    call('INCR', P .. 'trials')
  end
  log_grant(j, l, how)
  return assignment_of(j, l), l._id
end

-- A transfer to node i by its id, or nil.
function lease_of(i, id)
  local takes = N[i]._takes
  for k = 1, #takes do
    if takes[k]._id == id then
      return takes[k]
    end
  end
  return nil
end

-- A transfer by an id that a node of this cell was given, or nil.
function load_lease(id) return lease_of(id:match('%.(%d+)$'), id) end

-- The receiver says that the transfer is nearly over: both slots are free for the next one from now on.
-- Gives whether they are free now. A node has no more such transfers than slots.
function nearly_over(l)
  local j, n = load_job(l._job), N[l._dst]
  local ending = 0
  for _, other in ipairs(n._takes) do
    ending = ending + (other.ending == true and 1 or 0)
  end
  if l.ending or ending >= n._down_max + n._gcs_max then
    return false
  end
  takes_changed(n)
  local handed = hand_on(j, l, n)
  l.ending = true
  if not handed then free_slots(j, l, n) end
  return not handed
end

-- Take an assignment out of its receiver's inbox, if it still lies there: the receiver goes on waiting for one.
local function take_back(l)
  local inbox, n = inbox_key(l._dst), N[l._dst]
  for _, assignment in ipairs(call('LRANGE', inbox, 0, -1)) do
    if assignment:find('"lease":"' .. l._id .. '"', 1, true) and call('LREM', inbox, 1, assignment) > 0 and n._state == 'live' then
      change_node(l._dst, 'wants', n._wants + 1)
    end
  end
end

-- End a lease: both slots are free; unless it brought its shard, that is wanted again.
function release(l, brought)
  local j = M.jobs[l._job] or load_job(l._job)
  local dst = N[l._dst]
  local takes = dst._takes
  take_out(takes, l)
  takes_changed(dst)
  if not l.ending and not (#takes > 0 and hand_on(j, l, dst)) then
    free_slots(j, l, dst)
  end
  if j.own_zone == 1 then came_into_zone(j, l._dst, l._shard) end
  if exists(j) then
    log_end(j, l, brought)
    local counted = j.tally or tally_of(j)
    counted.moving = counted.moving - 1
    local coming = (j.coming[l._shard] or 1) - 1
    j.coming[l._shard] = coming > 0 and coming or nil
    if l._src == '' then
      change_job(j, 'gcs_flight', j.gcs_flight - bytes_of(j, l._shard))
      if call('HINCRBY', j.key .. ':reading', l._shard, -1) <= 0 then
        call('HDEL', j.key .. ':reading', l._shard)
      end
    end
  end
  if l.how == 'trial' then
    call('DECR', P .. 'trials')
  end
  if not brought and dst._handed then
    take_back(l)
  end
  if not brought then got_changed() end
  if not brought and exists(j) and member(j, l._dst) then
    if call('GETBIT', j.have[l._dst], l._shard) == 0 then
      if j.topology == 'pipeline' then
        call('SETBIT', j.got .. l._shard, l._dst, 0)
      end
      lost_to_zone(j, l._dst, l._shard)
    end
    fresh_if_lost(j, l._shard) -- even if it holds it by now: a barred node's copy is for itself alone
  end
  if dst._wants > 0 then
    set_parked(l._dst, dst._wants) -- it waits with one slot more
  end
end

local AVOID_MS = 10000
local AVOID_BRIEFLY_MS = 300

-- How long the receiver of l takes nothing from its source. In a chain there is no other: one failure is a mishap.
local function avoid_for(j, l, kind)
  local forwarder = l.how == 'cut_through' -- the fault may well be of the one that it receives from
  local mishap = j.topology == 'pipeline' and kind == 'failed' and N[l._src].strikes == 0
  return (forwarder or mishap) and AVOID_BRIEFLY_MS or AVOID_MS
end

-- Release a lease that did not bring its shard, and what was to follow it, and tell the record and, with `tell`, its receiver.
function fail_lease(id, kind, why, bytes, ms, tell, first)
  local l = load_lease(id)
  if not l then
    return nil
  end
  local follower = follower_of(l, N[l._dst])
  if follower then
    fail_lease(follower._id, 'failed', 'moved', follower.bytes, 0, true)
  end
  release(l, false)
  local j = load_job(l._job)
  transfer_event(kind, l, name_of(l._dst), l._src == '' and '' or name_of(l._src), bytes, ms, first or '', why)
  if l._src == '' then
    change_job(j, 'bytes_gcs', j.bytes_gcs + bytes)
    if call('SISMEMBER', j.key .. ':suspects', l._shard) == 1 then
      make_fresh(j, l._shard)
    end
  else
    local counted = j.tally or tally_of(j)
    counted.bytes_peer = counted.bytes_peer + bytes
    if why ~= 'moved' then
      local till = NOW + avoid_for(j, l, kind)
      change_job(j, 'avoids', math.max(j.avoids, till))
      call('HSET', j.key .. ':avoid', l._src .. '>' .. l._dst, till)
    end
  end
  if tell then
    for_heartbeat(l._dst, 'dropped', id)
  end
  return l
end
