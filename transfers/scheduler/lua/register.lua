-- register: a node presents itself, or presents itself again after a restart or after Redis lost its data.
--
-- ARGV  now, seed, enrolment digest (sha256 hex), node as JSON {name, address, ticket_key, labels, disk_total, disk_free,
--       upload_slots, download_slots, gcs_slots, version}
-- Reply {epoch, open jobs as JSON}, or {-1} when the key is unknown
-- Cost  O(1), plus the shards that an earlier start of the node held
--
-- Promises: what an earlier start held, moved or waited for counts no longer; the node announces again what it has.

if call('SISMEMBER', P .. 'enrolment', ARGV[3]) == 0 then
  return { -1 }
end
local node = cjson.decode(ARGV[4])
local i = ensure_index(node.name)
local before = call('HMGET', node_key(i), 'state', 'epoch')
if before[1] ~= 'absent' then
  bury(i, 'restarted')
end
local epoch = number(before[2]) + 1
-- an epoch that a flushed Redis gave is never given again: it holds the time as well
epoch = math.max(epoch, NOW)
write_nodes()
local key = node_key(i)
local ipad, opad = pads(node.ticket_key)
call('HSET', key, 'name', node.name, 'address', node.address, 'ipad', ipad, 'opad', opad, 'epoch', string.format('%d', epoch),
  'labels', cjson.encode(node.labels), 'disk_total', node.disk_total, 'disk_free', node.disk_free, 'version', node.version,
  'up', 0, 'down', 0, 'gcs', 0, 'seen', NOW, 'wants', 0, 'shunned', 0, 'gcs_wait', 0, 'barred', 0, 'damaged', 0, 'strikes', 0)
local caps = call('HMGET', key, 'cap_up', 'cap_down', 'cap_gcs')
call('HSET', key, 'up_max', caps[1] or node.upload_slots, 'down_max', caps[2] or node.download_slots,
  'gcs_max', caps[3] or node.gcs_slots)
call('HSET', key, 'state', call('HGET', key, 'draining') == '1' and 'draining' or 'live')
call('ZADD', P .. 'seen', NOW, i)
call('DEL', key .. ':dropped')
known_nodes[i] = nil
set_uploader(i)
for _, job_id in ipairs(jobs_of(i)) do
  set_member(job_key(job_id), i, 'enrolled')
end
event('node_registered', 'node', node.name, 'epoch', string.format('%d', epoch))
return { string.format('%d', epoch), json_list(jobs_of(i)) }
