-- events: the stream from which the record is made. An entry is what happened once, in fields with names, or, of transfers,
-- all of one kind that some calls told of, in one field.
--
-- events  stream; t: when, e: what, and more; or <what>: of each shard that it happened to, the fields when, job, node, shard, source,
--         bytes, ms, lease, when it was assigned, ms until its first byte came ('' if none did), and crc or why: all of them
--         separated by tabs
--
-- Shards that came are told some at once where calls are many: an entry for each would be a twentieth of a call's time. The last
-- few are lost with a server that dies.
--
-- M.told, M.told_count: fields of those that are to be told yet, and how many fields

local ENTRIES_KEPT = '50000'
local FIELDS_A_SHARD, SHARDS_AT_ONCE = 11, 8

local function add(...) call('XADD', EVENTS, 'MAXLEN', '~', ENTRIES_KEPT, '*', ...) end

-- Tell what memory `of` has to tell.
local function write_told(of)
  local count = of.told_count
  if count > 0 then
    add('done', table.concat(of.told, '\t', 1, count))
    of.told_count = 0
  end
end
acts.at_forget[#acts.at_forget + 1] = write_told
acts.catch_up[#acts.catch_up + 1] = function() write_told(M) end
acts.at_end[#acts.at_end + 1] = function() -- before any other part writes: a call that breaks off here has ended nothing
  if M.told_count > 0 and not (M.lags and M.warm) then
    write_told(M)
  end
end

function event(kind, ...)
  write_told(M) -- in order
  add('t', NOW_TEXT, 'e', kind, ...)
end

-- last: the digest of a transfer that is done, why another ended
function transfer_event(kind, l, node, source, bytes, ms, first, last)
  local done = kind == 'done'
  if not done then
    write_told(M) -- in order
  end
  local fields, at = done and M.told or row, done and M.told_count or 0
  fields[at + 1], fields[at + 2], fields[at + 3], fields[at + 4] = NOW_TEXT, l._job, node, l._text
  fields[at + 5], fields[at + 6], fields[at + 7], fields[at + 8] = source, bytes, ms, l._id
  fields[at + 9], fields[at + 10], fields[at + 11] = l._started, first, last
  if done then
    M.told_count = at + FIELDS_A_SHARD
    if M.told_count >= FIELDS_A_SHARD * SHARDS_AT_ONCE then
      write_told(M)
    end
  else
    add(kind, table.concat(fields, '\t', 1, FIELDS_A_SHARD))
  end
end
