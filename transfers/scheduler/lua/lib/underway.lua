-- underway: the transfers that a node takes part in.
--
-- underway  hash; <i>: the transfers to node i, a line for each (see pack_lease), and behind \1 its last request and what it was
--           told (lib/answer.lua); <i>s: leases of what others read from it, told late (lib/idle.lua)

-- A transfer: id ("<number>.<receiver's index>"), job, shard, dst, src ('' is the bucket); as text for all that is written
-- of it: text (the shard), started, expires. Where they are not usual also: bytes that came so far, how, and ending: true when its
-- receiver said that it is nearly over, which freed both slots; the id of another if it has none before that is over
-- (lib/followers.lua). turn: when it came to them, as text, written in place of `started`. judged: learnt from before its end
-- (lib/rates.lua), not written
-- places: id job shard text dst src started expires
local LEASE = { __index = { bytes = 0, how = '' } }

-- A line of text, and what is to stand behind it. So many pieces, because each text that is made has to be collected.
local function pack_lease(l, behind, request, mark, given)
  local ending = l.ending == true and '1' or l.ending or ''
  return l._id .. '\t' .. l._job .. '\t' .. l._text .. '\t' .. l._src .. '\t' .. (l.turn or l._started) .. '\t' .. l._expires .. '\t'
    .. (l.bytes == 0 and '0' or l.bytes) .. '\t' .. l.how .. '\t' .. ending .. behind .. request .. mark .. given
end

local packed_rows = {}

local function pack_takes(n)
  local takes, request, mark, given = n._takes, n._request, n._mark, n._given
  local count = #takes
  if count == 0 then
    return '\1' .. request .. mark .. given
  end
  if count == 1 then
    return pack_lease(takes[1], '\1', request, mark, given)
  end
  for k = 1, count - 1 do
    packed_rows[k] = pack_lease(takes[k], '\n', '', '', '')
  end
  packed_rows[count] = pack_lease(takes[count], '\1', request, mark, given)
  return table.concat(packed_rows, '', 1, count)
end

local spares, spare_count = {}, 0 -- records that are used again: so many less to be collected
local SPARES = 4

function new_lease(id, job, shard, text, dst, src, started, expires)
  if spare_count > 0 then
    local l = spares[spare_count]
    spare_count = spare_count - 1
    l._id, l._job, l._shard, l._text, l._dst, l._src, l._started, l._expires = id, job, shard, text, dst, src, started, expires
    return l
  end
  return setmetatable({ id, job, shard, text, dst, src, started, expires }, LEASE) -- in the order of its places
end

-- Nobody looks at this transfer any more: it is over, and told.
function use_again(l)
  if l.bytes ~= 0 then l.bytes = nil end -- a field that is not there would come to be one by this
  if l.how ~= '' then l.how = nil end
  if l.ending then l.ending = nil end
  if l.judged then l.judged = nil end
  if l.turn then l.turn = nil end
  if spare_count < SPARES then
    spare_count = spare_count + 1
    spares[spare_count] = l
  end
end

local PACKED_LEASE = '([^\t\n]*)' .. ('\t([^\t\n]*)'):rep(8)

local function unpack_takes(n, text)
  n._takes, n._down, n._gcs = {}, 0, 0
  for id, job, shard, src, started, expires, bytes, how, ending in text:gmatch(PACKED_LEASE) do
    local l = new_lease(id, job, tonumber(shard), shard, n._index, src, started, expires)
    if bytes ~= '0' then l.bytes = tonumber(bytes) end
    if how ~= '' then l.how = how end
    if ending ~= '' then l.ending = ending == '1' or ending end
    n._takes[#n._takes + 1] = l
    if not l.ending then
      if src == '' then n._gcs = n._gcs + 1 else n._down = n._down + 1 end
    end
  end
end

local WRITTEN_AT_ONCE = 1000
local changed, count = {}, 0 -- nodes to which the transfers are to be written
acts.after_break[#acts.after_break + 1] = function() changed, count = {}, 0 end

local function write_under_way()
  if count == 0 then
    return
  end
  for k = 1, count do
    local n = changed[k]
    row[2 * k - 1], row[2 * k] = n._index, pack_takes(n)
    changed[k], n._takes_changed = nil, nil
  end
  call('HSET', UNDER_WAY, unpack(row, 1, 2 * count))
  count = 0
end
acts.at_end[#acts.at_end + 1] = write_under_way

-- The transfers to n changed.
function takes_changed(n)
  if n._takes_changed == true then
    return
  end
  if count == WRITTEN_AT_ONCE then
    write_under_way()
  end
  n._takes_changed, count = true, count + 1
  changed[count] = n
end

-- Transfers to n go on as they were: that they were renewed is written with what changes next, or by a later call (lib/lag.lua).
-- M.renewed, M.renewed_count: nodes of which it may be left.
function takes_renewed(n)
  if not M.warm then
    takes_changed(n)
  elseif not n._takes_changed then
    local at = M.renewed_count + 1
    n._takes_changed, M.renewed_count, M.renewed[at] = 'later', at, n
  end
end
acts.catch_up[#acts.catch_up + 1] = function()
  for k = 1, M.renewed_count do
    local n = M.renewed[k]
    if n._takes_changed == 'later' then takes_changed(n) end
  end
  M.renewed_count = 0
end

-- The node's last request, and what it was told: two texts.
function tell(n, request, mark, given)
  n._request, n._mark, n._given = request, mark, given
  takes_changed(n)
end

function read_under_way(n)
  local i = n._index
  local values = call('HMGET', UNDER_WAY, i, M.serves[i])
  local takes
  takes, n._request, n._mark, n._given = (values[1] or ''):match('^([^\1]*)\1?(%S*)( ?%+? ?)(.*)$')
  unpack_takes(n, takes)
  n._serves = {}
  for id in (values[2] or ''):gmatch('%S+') do
    n._serves[#n._serves + 1] = id
  end
end

-- The node starts anew.
function nothing_under_way(i)
  write_under_way()
  call('HDEL', UNDER_WAY, i, M.serves[i])
end
