-- log: why who got what from whom, and why who waits: for those who ask afterwards, and to be played again.
--
-- j:<job>:log  list, the newest last, of lines whose fields are separated by spaces; nodes are told by index
--   g <t> <lease> <shard> <source, - for the bucket> <live copies> <idle sources> <waiting nodes> <why>
--   w <t> <node> <wants> <idle sources> <free reads of the bucket> <shards that only the bucket has>

local LOG_KEPT = 20000
local TRIMMED_EVERY = 64

local because -- what made matches possible: asked, freed (a source has a slot or a shard), bucket, tick
local told    -- jobs with new lines
at_start[#at_start + 1] = function() because, told = 'asked', {} end

local function log_line(j, line)
  local lines = j.lines
  if not lines then
    lines = {}
    j.lines = lines
    told[#told + 1] = j
  end
  lines[#lines + 1] = line
end

local function log_grant(j, l, how)
  local idle = j.idle
  log_line(j, 'g ' .. NOW .. ' ' .. l.id .. ' ' .. l.shard .. ' ' .. (l.src == '' and '-' or l.src) .. ' '
    .. math.floor(j.copies[l.shard] or 0) .. ' ' .. (idle and #idle.normal or 0) .. ' ' .. j.parked_count .. ' '
    .. (how == '' and because or how))
end

local function log_wait(j, i, wants)
  local idle = j.idle
  log_line(j, 'w ' .. NOW .. ' ' .. i .. ' ' .. wants .. ' ' .. (idle and #idle.normal or 0) .. ' '
    .. j.gcs_slots - j.gcs_used .. ' ' .. j.fresh_count)
end

at_end[#at_end + 1] = function()
  for _, j in ipairs(told) do
    if j.state then
      call('RPUSH', j.key .. ':log', unpack(j.lines))
      j.untrimmed = (j.untrimmed or TRIMMED_EVERY) + #j.lines
      if j.untrimmed >= TRIMMED_EVERY then
        call('LTRIM', j.key .. ':log', -LOG_KEPT, -1)
        j.untrimmed = 0
      end
    end
    j.lines = nil
  end
end
