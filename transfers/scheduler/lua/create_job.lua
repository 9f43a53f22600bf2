-- create_job: a job comes to be, or is rebuilt from the record after Redis lost it. Repeating it changes nothing.
--
-- ARGV  now, seed, spec as JSON (JobSpec's fields), plan (opaque), digests as JSON {shard: crc32c}
-- Reply 1 when it was made, 0 when it was there
-- Cost  O(shards)
--
-- Promises: a shard whose digest is known is not read from the bucket before every node has said what it holds, or
-- `await_ms` have passed: somebody had it, and may be about to say so.

coordinator_only()
local spec = cjson.decode(ARGV[3])
local job = job_key(spec.job)
if call('EXISTS', job) == 1 then
  return 0
end
local order = string.format('%.0f', -spec.priority * 1e10 + call('INCR', P .. 'job_seq'))
for name, value in pairs(spec) do
  if value == true then value = 1 elseif value == false then value = 0 end
  if value ~= cjson.null then
    call('HSET', job, name, type(value) == 'number' and string.format('%.17g', value) or value)
  end
end
call('HSET', job, 'state', 'running', 'order', order, 'gcs_used', 0, 'held', 0, 'done', 0, 'failed', 0, 'gone', 0, 'nodes', 0,
  'bytes_gcs', 0, 'bytes_peer', 0, 'created', NOW, 'reason', '')
call('SET', job .. ':plan', ARGV[4])
call('SET', job .. ':all', ones(spec.shard_count))
local digests = cjson.decode(ARGV[5])
local last = spec.shard_count - 1
for s = 0, last, 500 do
  local row = {}
  for k = s, math.min(s + 499, last) do
    if not digests[tostring(k)] then
      row[#row + 1] = k
      row[#row + 1] = k
    end
  end
  if #row > 0 then
    call('ZADD', job .. ':fresh', unpack(row))
  end
end
for s, crc in pairs(digests) do
  call('HSET', job .. ':digest', s, crc)
end
if next(digests) then
  call('HSET', job, 'awaits', NOW + spec.await_ms)
end
call('ZADD', P .. 'jobs', order, spec.job)
event('job_created', 'job', spec.job)
return 1
