-- forget: delete what Redis holds of a job, some keys a call.
--
-- ARGV  now, seed, job
-- Reply 1 when there is more, 0 when all is gone
-- Cost  bounded by BATCH keys

local BATCH = 2000
local job = job_key(ARGV[3])
local left = BATCH
for _, i in ipairs(call('HKEYS', job .. ':members')) do
  if left <= 0 then
    return 1
  end
  call('UNLINK', job .. ':have:' .. i, job .. ':need:' .. i)
  call('HDEL', job .. ':members', i)
  call('ZREM', node_key(i) .. ':jobs', ARGV[3])
  call('ZREM', node_key(i) .. ':serving', ARGV[3])
  call('SREM', node_key(i) .. ':all', ARGV[3])
  left = left - 1
end
local s = number(call('HGET', job, 'forgotten'))
local count = number(call('HGET', job, 'shard_count'))
while s < count and left > 0 do
  call('UNLINK', job .. ':hold:' .. s, job .. ':got:' .. s)
  s, left = s + 1, left - 1
end
if s < count then
  call('HSET', job, 'forgotten', s)
  return 1
end
for _, part in ipairs({ ':plan', ':members', ':counts', ':rarity', ':fresh', ':digest', ':chain', ':suspects', ':disputes',
  ':reading', ':avoid', ':parked', ':waiting', ':readers', ':givers', ':ups', ':downs', ':errors', ':pace', '' }) do
  call('UNLINK', job .. part)
end
call('ZREM', P .. 'jobs', ARGV[3])
return 0
