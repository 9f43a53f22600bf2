-- events: the stream from which the record is made. What happens to a shard is told in one field, the rest in named ones.
--
-- events  stream; t: when, e: what; d: job, node, shard, source, bytes, ms, lease, and crc or why, separated by tabs

local EVENTS_KEPT = 200000

local function event(kind, ...)
  call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 't', NOW, 'e', kind, ...)
end

-- last: the digest of a transfer that is done, why another ended
local function transfer_event(kind, l, node, source, bytes, ms, last)
  event(kind, 'd', table.concat({ l.job, node, l.shard, source, bytes, ms, l.id, last }, '\t'))
end
