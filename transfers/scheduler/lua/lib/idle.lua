-- idle: which nodes have a free upload slot and something of a job to give.
--
-- up      bitmap: nodes that are alive, have a free upload slot and may serve
-- slow    bitmap: nodes that are slow
-- j:<job>:givers  bitmap: nodes that can be asked for something of the job
--
-- Lists of the idle givers of a job, normal and slow ones apart, are made from these and then kept in step; where the job
-- keeps to zones, each zone has its own.

local unlisted, unlisted_count = {}, 0 -- nodes whose bit in `up` is to be written, some of them more than once
after_break[#after_break + 1] = function() unlisted_count = 0 end

function write_up()
  for k = 1, unlisted_count do
    local i = unlisted[k]
    local n = N[i]
    local place = n._place
    if n._listed ~= (place ~= nil) then
      n._listed = place ~= nil
      call('SETBIT', P .. 'up', i, place and '1' or '0')
    end
  end
  unlisted_count = 0
end
at_end[#at_end + 1] = write_up

-- Up to `limit` of the nodes in a bitmap (a key), and in the bitmap `within` if there is one, that can serve now.
function idle_among(bitmap, limit, within)
  write_up()
  local found = some_bits(both(bitmap, P .. 'up', within), limit)
  for k = 1, #found do
    found[k] = text_of(found[k])
  end
  return found
end

local function move(pool, i, place)
  local places, spots = pool.place, pool.at
  local was = places[i]
  if was == place then
    return
  end
  local at
  if was then
    local list = pool[was]
    local count = #list
    local last = list[count]
    at = spots[i]
    list[at] = last
    list[count] = nil
    spots[last], at = at, nil
  end
  if place then
    local list = pool[place]
    if not list then
      list = {}
      pool[place] = list
    end
    at = #list + 1
    list[at] = i
  end
  places[i], spots[i] = place, at
end

-- The list in which node i is kept, or is looked for by a node of the same zone, by its kind.
function list_of(j, i, kind)
  return kind and j.own_zone == 1 and kind .. '@' .. N[i]._zone or kind
end

-- The idle givers of a job: lists `normal` and `slow`. Made anew: O(nodes).
function idle_of(j)
  local pool = j.idle
  if not pool then
    write_up()
    pool = { normal = {}, slow = {}, place = {}, at = {} }
    local slow = call('GET', P .. 'slow') or ''
    for _, i in ipairs(all_bits(both(P .. 'up', j.key .. ':givers'))) do
      i = text_of(i)
      move(pool, i, list_of(j, i, has_bit(slow, i) and 'slow' or 'normal'))
    end
    j.idle = pool
  end
  return pool
end

-- Node i gives something of the job now, or nothing any more.
function set_giver(j, i, gives)
  call('SETBIT', j.key .. ':givers', i, gives and 1 or 0)
  if j.idle then
    move(j.idle, i, gives and list_of(j, i, N[i]._place) or nil)
  end
end

-- Put the node among those that can serve, or take it out, after a transfer from it began or ended.
function place_uploader(i, n)
  local place = #n._serves < n._able and n._kind or nil -- as may_serve says, twice in each transfer
  if place ~= n._place then
    n._place = place
    unlisted_count = unlisted_count + 1
    unlisted[unlisted_count] = i
    local all = n._all or holder_in(i)
    for at = 1, #all do
      local j = M.jobs[all[at]]
      local pool = j and j.idle
      if pool then
        local count = j.counts[i]
        if count and count > 0 or not count and call('GETBIT', j.key .. ':givers', i) == 1 then
          move(pool, i, place and (j.own_zone == 1 and list_of(j, i, place) or place))
        end
      end
    end
  end
end

-- The same after anything else about the node changed.
function set_uploader(i)
  local n = N[i]
  weigh_node(n)
  place_uploader(i, n)
end
