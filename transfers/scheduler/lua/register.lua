-- register: a node presents itself, or presents itself again after a restart or after Redis lost its data.
--
-- ARGV  now, seed, enrolment digest (sha256 hex), node as JSON {name, address, ticket_key, labels, disk_total, disk_free,
--       upload_slots, download_slots, gcs_slots, version}
-- Reply {epoch, open jobs as JSON}, {-2, range} when its protocol is not within the coordinator's, or {-1, why} when the key is unknown and the node was not admitted by its identity
-- Cost  O(1), plus the shards that an earlier start of the node held
--
-- Promises: what an earlier start held, moved or waited for counts no longer; the node announces again what it has.

local node = cjson.decode(ARGV[4])
local range = call('GET', P .. 'protocol') or ''
local oldest, newest = range:match('^(%d+) (%d+)$')
if oldest and (number(node.protocol) < tonumber(oldest) or number(node.protocol) > tonumber(newest)) then
  return { -2, range }
end
if call('SISMEMBER', P .. 'enrolment', ARGV[3]) == 0 and call('HGET', P .. 'admitted', node.name) ~= ARGV[3] then
  return { -1, call('HGET', P .. 'refusals', node.name) or '' }
end
local i = ensure_index(node.name)
local n = N[i]
if n._state ~= 'absent' then
  bury(i, 'absent', 'restarted')
end
-- an epoch that a flushed Redis gave is never given again: it holds the time as well
local epoch = string.format('%d', math.max(number(n._epoch) + 1, NOW))
write_what_was_left()
nothing_under_way(i)
write_changes()
local ipad, opad = pads(node.ticket_key)
local own = call('HMGET', node_key(i), 'cap_up', 'cap_down', 'cap_gcs', 'draining', 'zone')
local zone = node.labels.zone or ''
enter_zone(i, own[5], zone)
call('HSET', node_key(i), 'name', node.name, 'address', node.address, 'ipad', ipad, 'opad', opad, 'epoch', epoch,
  'labels', cjson.encode(node.labels), 'disk_total', node.disk_total, 'disk_free', node.disk_free, 'version', node.version, 'zone', zone,
  'up_max', own[1] or node.upload_slots, 'down_max', own[2] or node.download_slots, 'gcs_max', own[3] or node.gcs_slots,
  'seen', NOW, 'wants', 0, 'shunned', 0, 'gcs_wait', 0, 'barred', 0, 'damaged', 0,
  'strikes', 0, 'state', own[4] == '1' and 'draining' or 'live')
M.nodes[i], M.quiet[i] = nil, nil
call('ZADD', P .. 'seen', NOW, i)
call('ZREM', P .. 'due', i)
call('DEL', node_key(i) .. ':dropped')
set_uploader(i)
for _, job_id in ipairs(jobs_of(i)) do
  set_member(load_job(job_id), i, 'enrolled')
end
event('node_registered', 'node', node.name, 'epoch', epoch)
return { epoch, json_list(jobs_of(i)) }
