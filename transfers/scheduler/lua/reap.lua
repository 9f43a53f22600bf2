-- reap: what time alone brings: leases that expired, nodes that fell silent, sources that were left alone, slow nodes of a
-- chain, matches that a bounded search missed. To be called every half second or so.
--
-- ARGV  now, seed, dead_after (ms)
-- Reply JSON {expired, died, matched, moved, more}
-- Cost  bounded by the constants below

local LEASES_A_CALL, DEATHS_A_CALL, JOBS_A_CALL, PARKED_A_CALL = 200, 4, 16, 16
local SLOW_PATIENCE = 10

-- How long a node waits for a source of its own speed before any will do.
local function patience(j)
  return 1000 + (j.pace > 0 and 3 * j.shard_size / j.pace or 0)
end

local expired, matched = 0, 0
local died, moved = {}, {}
local touched, sources = {}, {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW, 'LIMIT', 0, LEASES_A_CALL)) do
  local l = fail_lease(id, 'expired', 'stalled', number(call('HGET', P .. 'l:' .. id, 'bytes')), 0, true)
  if l then
    expired = expired + 1
    touched[l.job] = true
    if l.src ~= '' then sources[l.src] = true end
  end
end
local silent = call('ZRANGEBYSCORE', P .. 'seen', '-inf', NOW - tonumber(ARGV[3]), 'LIMIT', 0, DEATHS_A_CALL)
for _, i in ipairs(silent) do
  call('ZREM', P .. 'seen', i)
  change_node(i, 'state', 'dead')
  local jobs, served = bury(i, 'died')
  for job_id in pairs(jobs) do touched[job_id] = true end
  for src in pairs(served) do sources[src] = true end
  local name = name_of(i)
  died[#died + 1] = name
  event('node_dead', 'node', name, 'why', 'no heartbeat')
end
for _, i in ipairs(call('ZRANGEBYSCORE', P .. 'shunned', '-inf', NOW, 'LIMIT', 0, LEASES_A_CALL)) do
  call('ZREM', P .. 'shunned', i)
  set_uploader(i)
  sources[i] = true
end
rematch_after(touched, sources)
for _, job_id in ipairs(call('ZRANGE', P .. 'jobs', 0, JOBS_A_CALL - 1)) do
  local job = job_key(job_id)
  if call('HGET', job, 'state') == 'running' then
    local relaxed_after = patience(load_job(job_id))
    for _, i in ipairs(call('ZRANDMEMBER', job .. ':parked', PARKED_A_CALL)) do
      local waited = NOW - number(call('HGET', node_key(i), 'parked_at'))
      matched = matched + feed_parked(i, waited > relaxed_after * (is_slow(load_node(i)) and SLOW_PATIENCE or 1))
    end
    if call('HGET', job, 'topology') == 'pipeline' and number(call('HGET', job, 'reorder')) == 1 then
      for _, name in ipairs(move_laggards(job_id)) do moved[#moved + 1] = name end
    end
    settle_job(job_id)
  end
end
local more = expired == LEASES_A_CALL or #silent == DEATHS_A_CALL
return '{"expired":' .. expired .. ',"died":' .. json_list(died) .. ',"matched":' .. matched .. ',"moved":' .. json_list(moved)
  .. ',"more":' .. (more and 'true' or 'false') .. '}'
