-- dispute: a file's whole checksum failed although each of its shards had the recorded digest: a first read was bad.
--
-- ARGV  now, seed, job, node, epoch, file, shards as JSON, the node's digests of them as JSON
-- Reply {state, suspects as JSON}; state "confirming" or "failed"
-- Cost  O(shards of the file)
--
-- Promises: each shard of the file is read from the bucket once more, by one node; the job fails after too many disputes.
-- A node whose copies are not the recorded ones has not heard yet what came of an earlier dispute: nothing is read for it.

local j = load_job(ARGV[3])
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return { 'stale', '[]' }
end
local shards = cjson.decode(ARGV[7])
for _, s in ipairs(shards) do
  if call('SISMEMBER', j.key .. ':suspects', s) == 1 then
    return { 'confirming', json_list(shards) } -- already being looked into
  end
end
for k, crc in ipairs(cjson.decode(ARGV[8])) do
  local known = digest_of(j, shards[k])
  if known and tonumber(known) ~= crc then
    return { 'confirming', '[]' } -- it was, or will be, told to drop its copy
  end
end
if call('HINCRBY', j.key .. ':disputes', ARGV[6], 1) > j.max_disputes then
  end_job(j.id, 'failed', 'file ' .. ARGV[6] .. ' does not have the checksum that the bucket gives for it, however often it is read')
  return { 'failed', '[]' }
end
for _, s in ipairs(shards) do
  call('SADD', j.key .. ':suspects', s)
  make_fresh(j, s)
end
event('disputed', 'job', j.id, 'file', ARGV[6], 'node', ARGV[4])
bucket_changed(j.id)
return { 'confirming', json_list(shards) }
