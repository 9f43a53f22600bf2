-- forget: delete what Redis holds of a job, some keys a call.
--
-- ARGV  now, seed, job
-- Reply 1 when there is more, 0 when all is gone
-- Cost  bounded by BATCH keys

coordinator_only()
write_what_was_left()
local BATCH = 2000
local job_id = ARGV[3]
local job = job_key(job_id)
M.jobs[job_id] = nil
M.lists = {} -- those with it are not needed any more
local left = BATCH
for _, i in ipairs(call('HKEYS', job .. ':members')) do
  if left <= 0 then
    return 1
  end
  call('UNLINK', job .. ':have:' .. i)
  call('HDEL', job .. ':members', i)
  leave_job(i, job_id)
  left = left - 1
end
local s, count, assigned, attempted = unpack(call('HMGET', job, 'forgotten', 'shard_count', 'assigned', 'attempts'))
s, count = number(s), number(count)
while s < count and left > 0 do
  call('UNLINK', job .. ':hold:' .. s, job .. ':got:' .. s)
  s, left = s + 1, left - 1
end
if s < count then
  call('HSET', job, 'forgotten', s)
  return 1
end
if count > 0 then
  call('HINCRBY', P .. 'totals', 'assigned', number(assigned))
  call('HINCRBY', P .. 'totals', 'attempts', number(attempted))
end
forget_zones({ key = job })
for _, part in ipairs({ ':plan', ':members', ':rarity', ':fresh', ':digest', ':chain', ':suspects', ':disputes',
  ':reading', ':avoid', ':parked', ':waiting', ':readers', ':givers', ':ups', ':downs', ':errors', ':pace', ':log', ':all', '' }) do
  call('UNLINK', job .. part)
end
call('ZREM', P .. 'jobs', job_id)
return 0
