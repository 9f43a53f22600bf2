-- log: why who got what from whom, and why who waits: for those who ask afterwards, and to be played again.
--
-- j:<job>:log  list, the newest last, of lines whose fields are separated by spaces; nodes are told by index
--   g <t> <lease> <shard> <source, - for the bucket> <live copies> <idle sources> <waiting nodes> <why>
--   d <t> <lease>, f <t> <lease>: it ended, with its shard or without
--   w <t> <node> <wants> <idle sources> <free reads of the bucket> <shards that only the bucket has>

local LOG_KEPT = 20000
local WRITTEN_EVERY = 32 -- lines that are written at once; the reaper's tick writes what there is

function write_log(j)
  if j.state and #j.lines > 0 then
    call('RPUSH', j.key .. ':log', unpack(j.lines))
    call('LTRIM', j.key .. ':log', -LOG_KEPT, -1)
  end
  j.lines = {}
end

at_forget[#at_forget + 1] = function(of)
  for _, j in pairs(of.whole and of.jobs or {}) do
    if #j.lines > 0 and call('HEXISTS', j.key, 'state') == 1 then
      write_log(j)
    end
  end
end

local function log_line(j, line)
  local lines = j.lines
  local count = #lines + 1
  lines[count] = line
  if count >= WRITTEN_EVERY or not keeps_memory then
    write_log(j)
  end
end

function log_grant(j, l, how)
  local copies, idle, parked = j.copies[l.shard] or 0, j.idle and #j.idle.normal or 0, j.parked_count
  copies = copies - copies % 1
  log_line(j, 'g ' .. NOW_TEXT .. ' ' .. l.id .. ' ' .. l.text .. ' ' .. (l.src == '' and '-' or l.src) .. ' '
    .. (TEXTS[copies] or text_of(copies)) .. ' ' .. (TEXTS[idle] or text_of(idle)) .. ' '
    .. (TEXTS[parked] or text_of(parked)) .. ' ' .. (how == '' and because or how))
end

function log_wait(j, i, wants)
  local idle = j.idle
  log_line(j, 'w ' .. NOW_TEXT .. ' ' .. i .. ' ' .. wants .. ' ' .. text_of(idle and #idle.normal or 0) .. ' '
    .. text_of(j.gcs_slots - j.gcs_used) .. ' ' .. text_of(j.fresh_count))
end

function log_end(j, l, brought)
  log_line(j, (brought and 'd ' or 'f ') .. NOW_TEXT .. ' ' .. l.id)
end
