-- next: end the transfers that a node reports, make every match that this allows, and give the node what it asks for.
--
-- ARGV  now, seed, node, epoch, request id, want, and for each report: lease, outcome ("ok", "failed", "corrupt",
--       "cancelled", or "ending": it will be over in a moment), crc32c or '', bytes, ms, why, ms until its first byte or ''
-- Reply JSON {assignments, parked, unsettled, rejected, stale, finished}, or "stale" for an unknown node or epoch
-- Cost  O(reports + want) matches, each bounded by the constants of lib/match.lua; never O(nodes) or O(shards)
--
-- Promises: the slots of a reported lease are freed here, exactly once. A repeated request id changes nothing and gives the
-- first reply. A node that got less than it wanted is parked: later matches go to its inbox.

local FIRST_REPORT, INBOX_TAKEN = 7, 64
let_tallies_lag()
local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return 'stale'
end
local n = N[i]
if ARGV[5] ~= '' and n.request == ARGV[5] then
  return call('HGET', node_key(i), 'reply')
end
begin_asking(i)
local outcome = apply_reports(i, FIRST_REPORT)
local want = ARGV[6] + 0
-- what was matched for it while it was parked, and not yet taken
local given = n.handed and call('LPOP', inbox_key(i), INBOX_TAKEN) or {}
n.handed = #given == INBOX_TAKEN
-- those who wait for what its transfers held come first; then the node itself; then those who wait for what it brought
for k = 1, #outcome.uploaders do
  wake_for_uploader(outcome.uploaders[k])
end
local left = math.max(want - #given, 0)
if left > 0 then
  because = 'asked'
  left = left - feed(i, left, given)
end
set_parked(i, left)
if outcome.lost then
  for job_id in pairs(outcome.lost) do
    bucket_changed(job_id)
  end
end
wake_for_uploader(i)
if #given > 0 then
  wake_successors(i)
end
local noted = ',"unsettled":[],"rejected":[],"stale":[],"finished":[]}'
if outcome.noteworthy then
  noted = ',"unsettled":' .. json_list(outcome.unsettled) .. ',"rejected":' .. json_list(outcome.rejected)
    .. ',"stale":' .. json_list(outcome.stale) .. ',"finished":' .. json_list(outcome.finished) .. '}'
end
local reply = '{"assignments":[' .. (#given == 1 and given[1] or table.concat(given, ',')) .. '],"parked":'
  .. (left > 0 and 'true' or 'false') .. noted
change_node(i, 'request', ARGV[5])
change_node(i, 'reply', reply)
return reply
