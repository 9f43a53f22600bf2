-- reap: what time alone brings: leases that expired, nodes that fell silent, sources that were left alone, slow nodes of a
-- chain, matches that a bounded search missed. To be called every half second or so.
--
-- ARGV  now, seed, dead_after (ms)
-- Reply JSON {expired, died, matched, moved, more}
-- Cost  bounded by the constants below

local NODES_A_CALL, SHUNNED_A_CALL, DEATHS_A_CALL, JOBS_A_CALL, PARKED_A_CALL = 200, 200, 4, 16, 16
local SLOW_PATIENCE = 10

-- How long a node waits for a source of its own speed before any will do.
local function patience(j)
  return 1000 + (j.pace > 0 and 3 * j.shard_size / j.pace or 0)
end

-- Some of the nodes that wait, from a random place on: Redis's own choice by chance could not be repeated from a seed.
local function some_parked(j, limit)
  if j.parked_count <= limit then
    return call('ZRANGE', j.key .. ':parked', 0, -1)
  end
  local first = math.random(0, j.parked_count - limit)
  return call('ZRANGE', j.key .. ':parked', first, first + limit - 1)
end

coordinator_only()
write_what_was_left() -- who was heard of
local expired, matched = 0, 0
local died, moved = {}, {}
local touched, sources = {}, {}
local due = call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, NODES_A_CALL)
local again = {} -- when to look at it, and a node, in turn
for _, i in ipairs(due) do
  local n = N[i]
  n._due = 0
  for _, id in ipairs(ids_of(n._takes)) do
    local l = load_lease(id) -- gone, if another that expired took it along
    local expires = l and (not l.ending or l.ending == true) and tonumber(l._expires)
    if expires and expires <= NOW then
      fail_lease(id, 'expired', 'stalled', l.bytes, 0, true)
      expired = expired + 1
      touched[l._job] = true
      if l._src ~= '' then sources[l._src] = true end
    elseif expires and (n._due == 0 or n._due > expires) then
      n._due = expires
    end
  end
  if n._due > 0 then
    again[#again + 1], again[#again + 2] = n._due, i
  end
end
if #due > 0 then
  call('ZREM', P .. 'due', unpack(due)) -- not before all were looked at: a call that breaks off leaves them to the next
end
if #again > 0 then
  call('ZADD', P .. 'due', unpack(again))
end
local silent = call('ZRANGEBYSCORE', P .. 'seen', '-inf', NOW - tonumber(ARGV[3]), 'LIMIT', 0, DEATHS_A_CALL)
for _, i in ipairs(silent) do
  call('ZREM', P .. 'seen', i)
  local jobs, served = bury(i, 'dead', 'died')
  for job_id in pairs(jobs) do touched[job_id] = true end
  for src in pairs(served) do sources[src] = true end
  died[#died + 1] = name_of(i)
  event('node_dead', 'node', name_of(i), 'why', 'no heartbeat')
end
for _, i in ipairs(call('ZRANGEBYSCORE', P .. 'shunned', '-inf', NOW, 'LIMIT', 0, SHUNNED_A_CALL)) do
  call('ZREM', P .. 'shunned', i)
  set_uploader(i)
  sources[i] = true
end
rematch_after(touched, sources)
because = 'tick'
for _, job_id in ipairs(call('ZRANGE', P .. 'jobs', 0, JOBS_A_CALL - 1)) do
  local j = load_job(job_id)
  if is_open(j) then
    if await_over(j) then
      bucket_changed(j.id)
    end
    local relaxed_after = patience(j)
    for _, i in ipairs(some_parked(j, PARKED_A_CALL)) do
      local n = N[i]
      local waited = NOW - n._parked_at
      matched = matched + feed_parked(i, waited > relaxed_after * (is_slow(n) and SLOW_PATIENCE or 1))
    end
    if j.topology == 'pipeline' and j.reorder == 1 then
      moved[#moved + 1] = move_laggard(j)
    end
    settle_job(j)
    write_log(j)
  end
end
local more = #due == NODES_A_CALL or #silent == DEATHS_A_CALL
return '{"expired":' .. expired .. ',"died":' .. json_list(died) .. ',"matched":' .. matched .. ',"moved":' .. json_list(moved)
  .. ',"more":' .. (more and 'true' or 'false') .. '}'
