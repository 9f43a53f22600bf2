-- followers: a second shard from the same source in one answer, so that a cell serves more nodes.
--
-- Who asks, and is given a shard that has copies in plenty, is given another like it from there. It follows the first: it begins
-- when that one is over, in the same slots, and until then takes none and has no time of its own to expire. Its receiver may tell
-- of both at once. If the first fails, so does it, without blame. `ending` of its record is the first one's id until it begins.
--
-- That the first is told later keeps nobody waiting, since others have it. Where shards or copies are few it would, and where
-- nodes are slow the second would be held up with the first: there is none then.

local PLENTY, PLENTY_SHARE = 64, 16 -- copies that the shard has to have, and of so many nodes one has to have it
local LEFT_SHARE = 8                -- of the job's shards the receiver has to lack one of so many, beside those that come to it

-- Whether shard s, for node i, may be followed, and may follow.
function may_follow(j, i, s)
  local copies, all = j.copies[s] or 0, j.shard_count
  return copies >= PLENTY and copies * PLENTY_SHARE >= j.nodes and not j.limits and j.own_zone == 0 and not any_slow()
    and (all - (j.counts[i] or count_of(j, i)) - #N[i]._takes) * LEFT_SHARE >= all
end

-- What is to follow transfer l to node dst (its record), or nil.
function follower_of(l, dst)
  local takes = dst._takes
  for k = 1, #takes do
    local f = takes[k]
    if f.ending == l._id then
      return f
    end
  end
  return nil
end

-- Transfer l to node dst is over, or nearly: what follows it has its slots from now on. Gives whether anything does.
function hand_on(j, l, dst)
  local f = follower_of(l, dst)
  if not f then
    return false
  end
  local src = N[l._src]
  local serves = src._serves
  for k = 1, #serves do
    if serves[k] == l._id then serves[k] = f._id end
  end
  serves_changed(src)
  f.ending, f.turn, f._expires = nil, NOW_TEXT, later(j.lease_ms)
  return true
end
