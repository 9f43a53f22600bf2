-- next: end the transfers that a node reports, make every match that this allows, and give the node what it asks for.
--
-- ARGV  now, seed, node, epoch, request id (without spaces), want, and for each report: lease, outcome ("ok", "failed", "corrupt",
--       "cancelled", or "ending": it will be over in a moment), crc32c or '', bytes, ms, why, ms until its first byte or ''
-- Reply a list: JSON {parked, unsettled, rejected, stale, finished}, and the assignments, each as JSON; "stale" for an unknown
--       node or epoch
-- Cost  O(reports + want) matches, each bounded by the constants of lib/match.lua; never O(nodes) or O(shards), but for the
--       first call after a server died (lib/lag.lua)
--
-- Promises: the slots of a reported lease are freed here, exactly once. A repeated request id changes nothing and gives the
-- first reply, without the assignments that are over by now. A node that got less than it wanted is parked: later matches go
-- to its inbox.

local FIRST_REPORT, INBOX_TAKEN = 7, 64
let_lag()
local i = index_of(ARGV[3])
if not is_current(i, ARGV[4]) then
  return 'stale'
end
local n = N[i]
if is_repeated(n, ARGV[5]) then
  return told_again(i)
end
begin_asking(i)
local outcome = apply_reports(i, FIRST_REPORT)
local want = ARGV[6] + 0
local answer = begin_answer()
-- what was matched for it while it was parked, and not yet taken
if n._handed then
  local waiting = call('LPOP', inbox_key(i), INBOX_TAKEN) or {}
  for k = 1, #waiting do
    answer[k + 1] = waiting[k]
  end
  n._handed = #waiting == INBOX_TAKEN
end
-- those who wait for what its transfers held come first; then the node itself; then those who wait for what it brought
for k = 1, #outcome.uploaders do
  wake_for_uploader(outcome.uploaders[k])
end
local left = want + 1 - #answer
if left > 0 then
  because = 'asked'
  left = left - feed(i, left, answer)
else
  left = 0
end
set_parked(i, left)
if outcome.lost then
  for job_id in pairs(outcome.lost) do
    bucket_changed(job_id)
  end
end
wake_for_uploader(i)
if #answer > 1 then
  wake_successors(i)
end
return end_answer(n, ARGV[5], left > 0, outcome)
