-- nodes: what a node may do now, and the transfers that it takes part in.
--
-- n:<i>  hash; state, epoch, name, address; up_max, down_max, gcs_max: slots; takes: its transfers, a line for each (see
--        pack_takes); due: when the reaper is to look at its transfers;
--        wants, parked_at: how many more it waits for, and since when; gcs_wait, shunned: until when it may not read the
--        bucket, or serve; zone: see lib/zones.lua; barred: it sent damaged bytes and serves no more; slow, slow_at: see lib/rates.lua; request,
--        reply: of its last call of next
-- serves hash: node -> leases of what others read from it: one for all nodes, so that a call writes it once
-- due    zset: node -> when the first of its transfers may have expired

MARKED = 2 -- slow transfers in a row that make a node slow

local FIELDS = { 'state', 'epoch', 'name', 'address', 'up_max', 'down_max', 'gcs_max', 'takes', 'due', 'wants',
  'parked_at', 'gcs_wait', 'shunned', 'barred', 'slow', 'slow_at', 'strikes', 'told', 'ipad', 'opad', 'zone' }
-- What a field is where a record has none: most are, so that the record of a node stays small.
local USUAL = { due = 0, wants = 0, parked_at = 0, gcs_wait = 0, shunned = 0, barred = 0, slow = 0, slow_at = 0, strikes = 0,
  up_max = 0, down_max = 0, gcs_max = 0 }
local NODE = { __index = USUAL }

-- A transfer: id ("<number>.<receiver's index>"), job, shard, dst, src ('' is the bucket); as text for all that is written
-- of it: text (the shard), started, expires. Where they are not usual also: bytes that came so far, how, and ending: its
-- receiver said that it is nearly over, which freed both slots. judged: learnt from before its end (lib/rates.lua), not written.
local LEASE = { __index = { bytes = 0, how = '' } }

local function pack_lease(l)
  return l.id .. '\t' .. l.job .. '\t' .. l.text .. '\t' .. l.src .. '\t' .. l.started .. '\t' .. l.expires .. '\t'
    .. (l.bytes == 0 and '0' or l.bytes) .. '\t' .. l.how .. '\t' .. (l.ending and '1' or '')
end

local function pack_takes(n)
  local takes = n.takes
  if #takes == 1 then
    return pack_lease(takes[1])
  end
  local rows = {}
  for k, l in ipairs(takes) do
    rows[k] = pack_lease(l)
  end
  return table.concat(rows, '\n')
end

local spare -- a record that is used again: one less to be collected

function new_lease(id, job, shard, text, dst, src, started, expires)
  local l = spare
  if l then
    spare = nil
    l.id, l.job, l.shard, l.text, l.dst, l.src, l.started, l.expires = id, job, shard, text, dst, src, started, expires
    return l
  end
  return setmetatable(
    { id = id, job = job, shard = shard, text = text, dst = dst, src = src, started = started, expires = expires }, LEASE)
end

-- Nobody looks at this transfer any more: it is over, and told.
function use_again(l)
  l.bytes, l.how, l.ending, l.judged = nil, nil, nil, nil
  spare = l
end

local PACKED_LEASE = '([^\t\n]*)' .. ('\t([^\t\n]*)'):rep(8)

local function unpack_takes(n, text)
  n.takes, n.down, n.gcs = {}, 0, 0
  for id, job, shard, src, started, expires, bytes, how, ending in text:gmatch(PACKED_LEASE) do
    local l = new_lease(id, job, tonumber(shard), shard, n.index, src, started, expires)
    if bytes ~= '0' then l.bytes = tonumber(bytes) end
    if how ~= '' then l.how = how end
    if ending ~= '' then l.ending = true end
    n.takes[#n.takes + 1] = l
    if not l.ending then
      if src == '' then n.gcs = n.gcs + 1 else n.down = n.down + 1 end
    end
  end
end

packed.takes = pack_takes

local function unpack_serves(n, text)
  n.serves = {}
  for id in text:gmatch('%S+') do
    n.serves[#n.serves + 1] = id
  end
end

local WRITTEN_AT_ONCE = 1000
local changed_serves, changed_count = {}, 0 -- nodes whose lists are to be written
after_break[#after_break + 1] = function() changed_count = 0 end

function write_serves()
  if changed_count == 0 then
    return
  end
  for k = 1, changed_count do
    local n = changed_serves[k]
    local serves = n.serves
    row[2 * k - 1], row[2 * k] = n.index, #serves == 1 and serves[1] or table.concat(serves, ' ')
    n.serves_changed, changed_serves[k] = nil, nil
  end
  call('HSET', SERVES, unpack(row, 1, 2 * changed_count))
  changed_count = 0
end
at_end[#at_end + 1] = write_serves

-- What others read from n is more or less than it was.
function serves_changed(n)
  if n.serves_changed then
    return
  end
  if changed_count == WRITTEN_AT_ONCE then
    write_serves()
  end
  changed_count = changed_count + 1
  n.serves_changed, changed_serves[changed_count] = true, n
end

function is_slow(n) return n.slow >= MARKED end

-- Told anew after each change of what it depends on (lib/idle.lua). able: how many may read from it at once; kind: whether it
-- is among the normal or the slow ones.
function weigh_node(n)
  local serves = (n.state == 'live' or n.state == 'draining') and n.barred == 0 and n.shunned <= NOW
  n.able, n.kind = serves and n.up_max or 0, is_slow(n) and 'slow' or 'normal'
end

function may_serve(n) return #n.serves < n.able end

-- A record is as large for 32 fields as for 17, and twice that for one more; a node has up to 30 all the time. So what is asked
-- for seldom is not kept: the address and what the last request was told.
local function read_node(nodes, i)
  local n = setmetatable({ index = i, handed = true }, NODE) -- handed: its inbox may hold something
  local values = call('HMGET', node_key(i), unpack(FIELDS))
  for k, field in ipairs(FIELDS) do
    local value = values[k]
    if USUAL[field] then
      value = number(value)
      value = value ~= 0 and value or nil
    end
    n[field] = value
  end
  n.zone = n.zone or ''
  n.place_json = n.address and ',"source":' .. cjson.encode(n.name) .. ',"address":' .. cjson.encode(n.address) .. ',"ticket":"'
  n.request = n.told and n.told:match('^%S*')
  n.address, n.told = nil, nil
  unpack_takes(n, n.takes or '')
  unpack_serves(n, call('HGET', SERVES, i) or '')
  n.listed = call('GETBIT', P .. 'up', i) == 1
  weigh_node(n)
  n.place = n.listed and n.kind or nil
  nodes[i] = n
  return n
end
lazily.__index = read_node

function name_of(i) return N[i].name or '' end

-- The inbox is of one start of the node: whoever still waits there for an earlier one gets nothing that is meant for this.
function inbox_key(i) return node_key(i) .. ':in:' .. (N[i].epoch or '') end

function change_node(i, field, value) change(N[i], field, value) end

-- True when node i, at this epoch, is the one that Redis knows as alive.
function is_current(i, epoch)
  if not i then
    return false
  end
  local n = N[i]
  return n.epoch == epoch and (n.state == 'live' or n.state == 'draining')
end

-- How many more peers this node may read from. A read from the bucket that can fill its card counts as one.
function room_for_peers(n, j)
  if n.state ~= 'live' then
    return 0
  end
  return n.down_max - n.down - (j.bucket_fills_card and n.gcs or 0)
end

-- Whether this node may read one more shard from the bucket.
function may_read_bucket(n, j)
  return n.state == 'live' and n.gcs < n.gcs_max and n.gcs_wait <= NOW
    and (not j.bucket_fills_card or n.down + n.gcs < n.down_max)
end
