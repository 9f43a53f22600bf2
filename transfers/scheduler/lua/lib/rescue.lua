-- rescue: a transfer that is far behind is broken off when its shard comes sooner in another way. At the end of a job a
-- slow source would hold up a receiver that every other could serve.

local WAITED = 2   -- usual transfer times that it was given
local REST = 1.5   -- usual transfer times that its rest has to take still: from the start, another source is sooner
local LOOKED_AT = 4
local WASTED = 1 / 100 -- of the payload: bytes that may be read from the bucket in vain

-- Whether the rest of the transfer would take longer, at the rate that it had, than the whole shard usually does.
local function is_behind(j, l)
  local pace = l._src == '' and j.gcs_pace or j.pace
  local took, size = NOW - (l.turn or l._started), bytes_of(j, l._shard)
  if pace == 0 or took * pace < WAITED * size then
    return false
  end
  return (size - l.bytes) * took * pace > REST * size * l.bytes
end

-- An idle node at the usual rate that has the shard.
local function better_source(j, l)
  for _, src in ipairs(idle_among(j.hold[l._shard], LOOKED_AT, near(j, l._dst))) do
    if src ~= l._src and not is_slow(N[src]) and can_give(j, src, l._dst) then
      return src
    end
  end
  return nil
end

local function break_off(l)
  fail_lease(l._id, 'failed', 'late', l.bytes, NOW - (l.turn or l._started), false)
end

-- Break l off if that helps. Gives whether it did; the receiver has to be told.
function rescue(j, l)
  if j.topology ~= 'mesh' or not is_open(j) or l.ending or not is_behind(j, l) then
    return false
  end
  if l._src == '' then
    local wasted = j.wasted + l.bytes
    if not leave_bucket_to_others(j, l._dst) or wasted > WASTED * j.size then
      return false
    end
    change_job(j, 'wasted', wasted)
    break_off(l)
    bucket_changed(j.id)
    return true
  end
  -- as long as it needs others as well, these keep its card busy meanwhile
  local src = not is_slow(N[l._dst]) and #first_needed(j, l._dst, 1) == 0 and better_source(j, l)
  if not src then
    return false
  end
  break_off(l)
  if takes(j, l._dst, src) then
    because = 'late'
    deliver(l._dst, grant(j, l._dst, l._shard, src, ''))
  end
  wake_for_uploader(l._src)
  return true
end
