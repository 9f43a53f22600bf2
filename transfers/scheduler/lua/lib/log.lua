-- log: why who got what from whom, and why who waits: for those who ask afterwards, and to be played again.
--
-- j:<job>:log  list, the newest last, of lines whose fields are separated by spaces; nodes are told by index
--   g <t> <lease> <shard> <source, - for the bucket> <live copies> <idle sources> <waiting nodes> <why>
--   d <t> <leases>, f <t> <lease>: they ended, with their shards or without
--   w <t> <node> <wants> <idle sources> <free reads of the bucket> <shards that only the bucket has>
-- An element of the list has one line or more.

local LOG_KEPT = 10000
local WRITTEN_EVERY = 32 -- elements that are written at once; the reaper's tick writes what there is

-- Leases that brought their shards in this call, how many, and their job: they are not in its lines yet.
local ended, ended_count, ended_in = {}, 0, nil
acts.after_break[#acts.after_break + 1] = function() ended_count = 0 end

local function take_ended()
  local ids = ended_count == 1 and ended[1] or table.concat(ended, ' ', 1, ended_count)
  ended_count = 0
  return ids
end

local function ended_line() return 'd ' .. NOW_TEXT .. ' ' .. take_ended() end

function write_log(j)
  if ended_count > 0 and ended_in == j then
    j.lines[#j.lines + 1] = ended_line()
  end
  if j.state and #j.lines > 0 then
    call('RPUSH', j.key .. ':log', unpack(j.lines))
    call('LTRIM', j.key .. ':log', -LOG_KEPT, -1)
  end
  j.lines = {}
end

acts.at_forget[#acts.at_forget + 1] = function(of)
  for _, j in pairs(of.whole and of.jobs or {}) do
    if #j.lines > 0 and call('HEXISTS', j.key, 'state') == 1 then
      write_log(j)
    end
  end
end

local function add_line(j, line)
  local lines = j.lines
  local count = #lines + 1
  lines[count] = line
  if count >= WRITTEN_EVERY or not keeps_memory then
    write_log(j)
  end
end

local function add_ended()
  if ended_count > 0 then
    add_line(ended_in, ended_line())
  end
end
acts.at_end[#acts.at_end + 1] = add_ended

function log_grant(j, l, how)
  local copies, idle, parked = j.copies[l._shard] or 0, j.idle and #j.idle.normal or 0, j.parked_count
  copies = copies - copies % 1
  local d, at, space, ids, between = '', '', '', '', ''
  if ended_count > 0 then -- one element, and so two texts less to be made
    if ended_in == j then d, at, space, ids, between = 'd ', NOW_TEXT, ' ', take_ended(), '\n' else add_ended() end
  end
  add_line(j, d .. at .. space .. ids .. between .. 'g ' .. NOW_TEXT .. ' ' .. l._id .. ' ' .. l._text .. ' '
    .. (l._src == '' and '-' or l._src) .. ' ' .. (TEXTS[copies] or text_of(copies)) .. ' ' .. (TEXTS[idle] or text_of(idle)) .. ' '
    .. (TEXTS[parked] or text_of(parked)) .. ' ' .. (how == '' and because or how))
end

function log_wait(j, i, wants)
  add_ended()
  local idle = j.idle
  add_line(j, 'w ' .. NOW_TEXT .. ' ' .. i .. ' ' .. wants .. ' ' .. text_of(idle and #idle.normal or 0) .. ' '
    .. text_of(j.gcs_slots - j.gcs_used) .. ' ' .. text_of(j.fresh_count))
end

function log_end(j, l, brought)
  if ended_count > 0 and (ended_in ~= j or not brought) then
    add_ended()
  end
  if brought then
    ended_in, ended_count = j, ended_count + 1
    ended[ended_count] = l._id
  else
    add_line(j, 'f ' .. NOW_TEXT .. ' ' .. l._id)
  end
end
