-- events: the stream from which the record is made. An entry is what happened once, in fields with names, or, of transfers,
-- all of one kind that some calls told of, in one field.
--
-- events  stream; t: when, e: what, and more; or <what>: a line of when, and one for each shard that it happened to then: job,
--         node, shard, source, bytes, ms, lease, when it was assigned, ms until its first byte came ('' if none did), and crc or
--         why, separated by tabs; another line of when, and so on
--
-- Shards that came are told some at once where calls are many: an entry for each would be a twentieth of a call's time. The last
-- few are lost with a server that dies.
--
-- M.told, M.told_count, M.told_at: lines that are to be written, and the last one's time

local ENTRIES_KEPT = '50000'
local AT_ONCE = 8

local function add(...) call('XADD', EVENTS, 'MAXLEN', '~', ENTRIES_KEPT, '*', ...) end

-- Write the lines of memory `of`.
local function write_told(of)
  local count = of.told_count
  if count > 0 then
    add('done', count == 1 and of.told[1] or table.concat(of.told, '\n', 1, count))
    of.told_count, of.told_at = 0, nil
  end
end
acts.at_forget[#acts.at_forget + 1] = write_told
acts.catch_up[#acts.catch_up + 1] = function() write_told(M) end
acts.at_end[#acts.at_end + 1] = function()
  local count = M.told_count
  if count >= AT_ONCE or count > 0 and not (M.lags and M.warm) then
    write_told(M)
  end
end

function event(kind, ...)
  write_told(M) -- in order
  add('t', NOW_TEXT, 'e', kind, ...)
end

-- last: the digest of a transfer that is done, why another ended
function transfer_event(kind, l, node, source, bytes, ms, first, last)
  if kind ~= 'done' then
    write_told(M)
  end
  local at, ends = '', '' -- two, so that no more than one text is made
  if M.told_at ~= NOW_TEXT or kind ~= 'done' then at, ends = NOW_TEXT, '\n' end
  local line = at .. ends .. l._job .. '\t' .. node .. '\t' .. l._text .. '\t' .. source .. '\t' .. bytes .. '\t' .. ms .. '\t'
    .. l._id .. '\t' .. l._started .. '\t' .. first .. '\t' .. last
  if kind == 'done' then
    local count = M.told_count + 1
    M.told[count], M.told_count, M.told_at = line, count, NOW_TEXT
  else
    add(kind, line)
  end
end
