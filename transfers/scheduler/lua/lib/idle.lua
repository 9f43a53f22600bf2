-- idle: which nodes have a free upload slot and something of a job to give.
--
-- underway  hash; <i>s: leases of what others read from node i; the last calls' may be missing (lib/lag.lua)
-- up      bitmap: nodes that are alive, have a free upload slot and may serve; the last calls' may be missing (lib/lag.lua)
-- slow    bitmap: nodes that are slow
-- j:<job>:givers  bitmap: nodes that can be asked for something of the job
--
-- Lists of the idle givers of a job, normal and slow ones apart, are made from these and then kept in step; where the job
-- keeps to zones, each zone has its own.

local WRITTEN_AT_ONCE = 1000

-- M.unlisted: nodes whose bit in `up` is to be written, some of them more than once, and M.unlisted_count

local function write_up()
  local unlisted, count, last = M.unlisted, M.unlisted_count, 0
  for k = 1, count do
    local i = unlisted[k]
    local n = N[i]
    local place = n._place
    if n._listed ~= (place ~= nil) then
      n._listed = place ~= nil
      row[last + 1], row[last + 2], row[last + 3], row[last + 4] = 'SET', 'u1', i, place and '1' or '0'
      last = last + 4
    end
    if last > 0 and (k == count or last >= 4 * WRITTEN_AT_ONCE) then
      call('BITFIELD', P .. 'up', unpack(row, 1, last))
      last = 0
    end
  end
  M.unlisted_count = 0
end

-- M.serving, M.serving_count: nodes of which it is to be written what others read from them

function serves_changed(n)
  if not n._serves_changed then
    local at = M.serving_count + 1
    n._serves_changed, M.serving_count, M.serving[at] = true, at, n
    if at == 1 then M.at_ease = false end
  end
end

local function write_serves()
  local serving = M.serving
  for first = 1, M.serving_count, WRITTEN_AT_ONCE do
    local last = math.min(first + WRITTEN_AT_ONCE - 1, M.serving_count)
    for k = first, last do
      local n, at = serving[k], 2 * (k - first)
      local ids = n._serves
      row[at + 1], row[at + 2] = M.serves[n._index], #ids == 1 and ids[1] or table.concat(ids, ' ')
      n._serves_changed = nil
    end
    call('HSET', UNDER_WAY, unpack(row, 1, 2 * (last - first + 1)))
  end
  M.serving_count = 0
end

local function write_sources()
  write_up()
  write_serves()
end
acts.catch_up[#acts.catch_up + 1] = write_sources
acts.leave[#acts.leave + 1] = function()
  if M.serving_count + M.unlisted_count > 0 and not may_leave('up') then
    write_sources()
  end
end

-- Up to `limit` of the nodes in a bitmap (a key), and in the bitmap `within` if there is one, that can serve now.
function idle_among(bitmap, limit, within)
  write_up()
  local found = some_bits(both(bitmap, P .. 'up', within), limit)
  for k = 1, #found do
    found[k] = text_of(found[k])
  end
  return found
end

-- The list in which node i is kept, or is looked for by a node of the same zone, by its kind.
function list_of(j, i, kind)
  return kind and j.own_zone == 1 and kind .. '@' .. N[i].zone or kind
end

-- A job's idle givers are kept in lists by name. spots: where a node stands in its list; 0: in none, but it gives something;
-- false: it gives nothing; nil: that is not known.

local function put_in(pool, name, i)
  local list = pool[name]
  if not list then
    list = {}
    pool[name] = list
  end
  local at = #list + 1
  list[at], pool.spots[i] = i, at
end

local function take_from(pool, name, i)
  local list, spots = pool[name], pool.spots
  local at = spots[i]
  if not list or list[at] ~= i then -- what Redis had of it did not agree when the lists were made: a call had broken off
    for _, other in pairs(pool) do
      if other[at] == i then list = other end
    end
  end
  local count = #list
  local last = list[count]
  list[at], spots[last] = last, at
  list[count], spots[i] = nil, 0 -- last is i, perhaps
end

-- The idle givers of a job: lists `normal` and `slow`. Made anew: O(nodes).
function idle_of(j)
  local pool = j.idle
  if not pool then
    write_up()
    pool = { normal = {}, slow = {}, spots = {} }
    local slow = call('GET', P .. 'slow') or ''
    for _, i in ipairs(all_bits(both(P .. 'up', j.key .. ':givers'))) do
      i = text_of(i)
      put_in(pool, list_of(j, i, has_bit(slow, i) and 'slow' or 'normal'), i)
    end
    j.idle = pool
  end
  return pool
end

-- Node i gives something of the job now, or nothing any more.
function set_giver(j, i, gives)
  call('SETBIT', j.key .. ':givers', i, gives and 1 or 0)
  local pool, place = j.idle, N[i]._place
  if not pool then
    return
  end
  local listed = (pool.spots[i] or 0) > 0
  if listed and not gives then
    take_from(pool, list_of(j, i, place), i)
  end
  if not gives then
    pool.spots[i] = false
  elseif not listed then
    pool.spots[i] = 0
    if place then put_in(pool, list_of(j, i, place), i) end
  end
end

local function gives_something(j, i)
  local count = j.counts[i]
  return count and count > 0 or not count and call('GETBIT', j.key .. ':givers', i) == 1
end

-- Put the node among those that can serve, or take it out, after a transfer from it began or ended.
function place_uploader(i, n)
  local before, place = n._place, #n._serves < n._able and n._kind or nil -- as may_serve says, twice in each transfer
  if place == before then
    return
  end
  n._place = place
  local count = M.unlisted_count + 1
  M.unlisted_count, M.unlisted[count] = count, i
  if count == 1 then M.at_ease = false end
  local all = n._all or holder_in(i)
  for k = 1, #all do
    local j = M.jobs[all[k]]
    local pool = j and j.idle
    if pool then
      local at = pool.spots[i]
      if at == nil then
        at = gives_something(j, i) and 0
        pool.spots[i] = at
      end
      if at and at > 0 then
        take_from(pool, j.own_zone == 1 and list_of(j, i, before) or before, i)
      end
      if at and place then
        put_in(pool, j.own_zone == 1 and list_of(j, i, place) or place, i)
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

-- What is read from whom follows from the transfers to all nodes, and who can serve from that. Those that live are looked at
-- anew: what became of the others was written when it did. O(nodes).
acts.repair[#acts.repair + 1] = function(what)
  if what ~= 'up' then
    return
  end
  local serves = {}
  for _, field in ipairs(call('HKEYS', UNDER_WAY)) do
    local i = field:match('^%d+')
    serves[i] = serves[i] or {}
    for _, l in ipairs(field == i and N[i]._takes or {}) do
      if l._src ~= '' and not l.ending then
        serves[l._src] = serves[l._src] or {}
        table.insert(serves[l._src], l._id)
      end
    end
  end
  for i, ids in pairs(serves) do
    N[i]._serves = ids
    serves_changed(N[i])
  end
  for _, i in ipairs(call('ZRANGE', P .. 'seen', 0, -1)) do
    place_uploader(i, N[i])
  end
end
