-- events: the stream from which the record is made. What happens to shards is told in one field, the rest in named ones.
--
-- events  stream; t: when, e: what; d: a line for each shard: job, node, shard, source, bytes, ms, lease, when it was assigned,
--         ms until its first byte came ('' if none did), and crc or why, separated by tabs

local EVENTS_KEPT = '200000'

function event(kind, ...)
  call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 't', NOW_TEXT, 'e', kind, ...)
end

local done = {} -- lines of this call
after_break[#after_break + 1] = function()
  if #done > 0 then done = {} end -- of a call that broke off
end

function tell_done()
  if #done == 1 then
    event('done', 'd', done[1])
    done[1] = nil
  elseif #done > 0 then
    event('done', 'd', table.concat(done, '\n'))
    done = {}
  end
end
at_end[#at_end + 1] = tell_done

-- last: the digest of a transfer that is done, why another ended
function transfer_event(kind, l, node, source, bytes, ms, first, last)
  local line = l.job .. '\t' .. node .. '\t' .. l.text .. '\t' .. source .. '\t' .. bytes .. '\t' .. ms .. '\t' .. l.id .. '\t'
    .. l.started .. '\t' .. first .. '\t' .. last
  if kind == 'done' then
    done[#done + 1] = line
  else
    tell_done() -- in order
    event(kind, 'd', line)
  end
end
