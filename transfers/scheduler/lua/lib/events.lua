-- events: the stream from which the record is made. An entry is what happened once, in fields with names, or, of transfers,
-- all of one kind that a call told of, in one field.
--
-- events  stream; t: when, e: what, and more; or <what>: when, and a line for each shard: job, node, shard, source, bytes, ms,
--         lease, when it was assigned, ms until its first byte came ('' if none did), and crc or why, separated by tabs

local EVENTS_KEPT = '200000'
local TRIMMED_EVERY = 64 -- calls: between these a shard's end is told without a look at the stream's length

local function add(...)
  call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', ...)
end

function event(kind, ...) add('t', NOW_TEXT, 'e', kind, ...) end

local done = {} -- lines of this call, the first with the time before it
acts.after_break[#acts.after_break + 1] = function() done = {} end

local function tell_done()
  local count = #done
  if count == 0 then
    return
  end
  local lines = count == 1 and done[1] or table.concat(done, '\n')
  if calls % TRIMMED_EVERY == 0 or not keeps_memory then
    add('done', lines)
  else
    call('XADD', EVENTS, '*', 'done', lines)
  end
  for k = 1, count do
    done[k] = nil
  end
end
acts.at_end[#acts.at_end + 1] = tell_done

-- last: the digest of a transfer that is done, why another ended
function transfer_event(kind, l, node, source, bytes, ms, first, last)
  local count = #done
  if kind ~= 'done' and count > 0 then
    tell_done() -- in order
    count = 0
  end
  local at, ends = '', '' -- two, so that no more than one text is made
  if count == 0 then at, ends = NOW_TEXT, '\n' end
  local line = at .. ends .. l._job .. '\t' .. node .. '\t' .. l._text .. '\t' .. source .. '\t' .. bytes .. '\t' .. ms .. '\t'
    .. l._id .. '\t' .. l._started .. '\t' .. first .. '\t' .. last
  if kind == 'done' then
    done[count + 1] = line
  else
    add(kind, line)
  end
end
