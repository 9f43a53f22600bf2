-- nodes: what a node may do now, and the transfers that it takes part in.
--
-- n:<i>  hash; state, epoch, name, address; up_max, down_max, gcs_max: slots; takes: its transfers, a line for each (see
--        pack_takes); serves: leases of what others read from it; due: when the reaper is to look at its transfers;
--        wants, parked_at: how many more it waits for, and since when; gcs_wait, shunned: until when it may not read the
--        bucket, or serve; barred: it sent damaged bytes and serves no more; slow, slow_at: see lib/rates.lua; request,
--        reply: of its last call of next
-- due    zset: node -> when the first of its transfers may have expired

local MARKED = 2 -- slow transfers in a row that make a node slow

local FIELDS = { 'state', 'epoch', 'name', 'address', 'up_max', 'down_max', 'gcs_max', 'takes', 'serves', 'due', 'wants',
  'parked_at', 'gcs_wait', 'shunned', 'barred', 'slow', 'slow_at', 'strikes', 'request', 'ipad', 'opad' }
local TEXTS = { state = true, epoch = true, name = true, address = true, takes = true, serves = true, request = true,
  ipad = true, opad = true }

-- A transfer: id ("<number>.<receiver's index>"), job, shard, dst, src ('' is the bucket), started, expires, bytes, ttl,
-- how, ending ('1' when its receiver said that it is nearly over, which freed both slots).
local function pack_lease(l)
  return l.id .. '\t' .. l.job .. '\t' .. l.shard .. '\t' .. l.src .. '\t' .. l.started .. '\t' .. l.ttl .. '\t' .. l.how
    .. '\t' .. l.expires .. '\t' .. l.bytes .. '\t' .. l.ending
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

local LEASE = '([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)'

local function unpack_takes(n, i, text)
  n.takes, n.down, n.gcs = {}, 0, 0
  for id, job, shard, src, started, ttl, how, expires, bytes, ending in text:gmatch(LEASE) do
    n.takes[#n.takes + 1] = { id = id, job = job, shard = tonumber(shard), dst = i, src = src, started = tonumber(started),
      ttl = tonumber(ttl), how = how, expires = tonumber(expires), bytes = tonumber(bytes), ending = ending }
    if ending == '' then
      if src == '' then n.gcs = n.gcs + 1 else n.down = n.down + 1 end
    end
  end
end

local function unpack_serves(n, text)
  n.serves = {}
  for id in text:gmatch('%S+') do
    n.serves[#n.serves + 1] = id
  end
end

packed.takes = pack_takes
packed.serves = function(n) return table.concat(n.serves, ' ') end

local function may_serve(n)
  return (n.state == 'live' or n.state == 'draining') and #n.serves < n.up_max and n.shunned <= NOW and n.barred == 0
end

local function is_slow(n) return n.slow >= MARKED end

local function load_node(i)
  local n = M.nodes[i]
  if n then
    return n
  end
  n = { key = node_key(i), index = i, handed = true } -- handed: its inbox may hold something
  local values = call('HMGET', n.key, unpack(FIELDS))
  for k, field in ipairs(FIELDS) do
    if TEXTS[field] then n[field] = values[k] else n[field] = number(values[k]) end
  end
  unpack_takes(n, i, n.takes or '')
  unpack_serves(n, n.serves or '')
  n.listed = call('GETBIT', P .. 'up', i) == 1
  n.place = n.listed and (is_slow(n) and 'slow' or 'normal') or nil
  M.nodes[i] = n
  return n
end

local function name_of(i) return load_node(i).name or '' end

-- The inbox is of one start of the node: whoever still waits there for an earlier one gets nothing that is meant for this.
local function inbox_key(i) return node_key(i) .. ':in:' .. (load_node(i).epoch or '') end

local function change_node(i, field, value) change(load_node(i), field, value) end

-- True when node i, at this epoch, is the one that Redis knows as alive.
local function is_current(i, epoch)
  if not i then
    return false
  end
  local n = load_node(i)
  return n.epoch == epoch and (n.state == 'live' or n.state == 'draining')
end

-- How many more peers this node may read from. A read from the bucket that can fill its card counts as one.
local function room_for_peers(n, j)
  if n.state ~= 'live' then
    return 0
  end
  return n.down_max - n.down - (j.bucket_fills_card and n.gcs or 0)
end

-- Whether this node may read one more shard from the bucket.
local function may_read_bucket(n, j)
  return n.state == 'live' and n.gcs < n.gcs_max and n.gcs_wait <= NOW
    and (not j.bucket_fills_card or n.down + n.gcs < n.down_max)
end
