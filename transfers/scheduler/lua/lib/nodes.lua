-- nodes: what a node may do now.
--
-- n:<i>  hash; state, epoch, name, address; up_max, down_max, gcs_max: slots; due: when the reaper is to look at its transfers;
--        wants, parked_at: how many more it waits for, and since when; gcs_wait, shunned: until when it may not read the
--        bucket, or serve; zone: see lib/zones.lua; barred: it sent damaged bytes and serves no more; slow, slow_at: see
--        lib/rates.lua
-- due    zset: node -> when the first of its transfers may have expired

local MARKED = 2 -- slow transfers in a row that make a node slow

local FIELDS = { 'state', 'epoch', 'name', 'address', 'up_max', 'down_max', 'gcs_max', 'due', 'wants',
  'parked_at', 'gcs_wait', 'shunned', 'barred', 'slow', 'slow_at', 'strikes', 'ipad', 'opad', 'zone' }
-- What a field is where a record has none: most are, so that the record of a node stays small.
local USUAL = { due = 0, wants = 0, parked_at = 0, gcs_wait = 0, shunned = 0, barred = 0, slow = 0, slow_at = 0, strikes = 0,
  up_max = 0, down_max = 0, gcs_max = 0 }
local NODE = { __index = USUAL }

function is_slow(n) return n.slow >= MARKED end

-- Told anew after each change of what it depends on (lib/idle.lua). able: how many may read from it at once; kind: whether it
-- is among the normal or the slow ones.
function weigh_node(n)
  local serves = (n.state == 'live' or n.state == 'draining') and n.barred == 0 and n.shunned <= NOW
  n.able, n.kind = serves and n.up_max or 0, is_slow(n) and 'slow' or 'normal'
end

function may_serve(n) return #n.serves < n.able end

-- A record is as large for 32 fields as for 17, and twice that for one more; a node has up to 30 all the time. So what is asked
-- for seldom is not kept.
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
  n.address = nil
  read_under_way(n)
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
