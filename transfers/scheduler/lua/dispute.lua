-- dispute: a file's whole checksum failed although each of its shards had the recorded digest: a first read was bad.
--
-- ARGV  now, seed, job, node, epoch, file, shards as JSON
-- Reply {state, suspects as JSON}; state "confirming" or "failed"
-- Cost  O(shards of the file)
--
-- Promises: each shard of the file is read from the bucket once more, by one node; the job fails after too many disputes.

local job = job_key(ARGV[3])
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return { 'stale', '[]' }
end
local shards = cjson.decode(ARGV[7])
for _, s in ipairs(shards) do
  if call('SISMEMBER', job .. ':suspects', s) == 1 then
    return { 'confirming', json_list(shards) } -- already being looked into
  end
end
if call('HINCRBY', job .. ':disputes', ARGV[6], 1) > number(call('HGET', job, 'max_disputes')) then
  end_job(ARGV[3], 'failed', 'file ' .. ARGV[6] .. ' does not have the checksum that the bucket gives for it, however often it is read')
  return { 'failed', '[]' }
end
for _, s in ipairs(shards) do
  call('SADD', job .. ':suspects', s)
  make_fresh(load_job(ARGV[3]), s)
end
event('disputed', 'job', ARGV[3], 'file', ARGV[6], 'node', ARGV[4])
bucket_changed(ARGV[3])
return { 'confirming', json_list(shards) }
