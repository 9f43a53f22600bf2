-- nodes: what a node may do now.
--
-- n:<i>  hash; state, epoch, name, address; up_max, down_max, gcs_max: slots; wants, parked_at: how many more it waits for, and since when; gcs_wait, shunned: until when it may not read the
--        bucket, or serve; zone: see lib/zones.lua; barred: it sent damaged bytes and serves no more; slow, slow_at: see
--        lib/rates.lua
-- due    zset: node -> when the first of its transfers may have expired
-- seen   zset: node that lives -> its last heartbeat; the last calls' may be missing (lib/lag.lua)

-- What a node always has; the first eight are what a source's is asked for. Not more than 32, or Lua makes room for 64.
-- places: index serves able place kind all takes_changed serves_changed takes down gcs due state epoch request mark given
-- places: handed wants parked_at jobs serving up_max down_max gcs_max barred slow name place_json ipad opad listed

local MARKED = 2 -- slow transfers in a row that make a node slow

local FIELDS = { 'state', 'epoch', 'name', 'up_max', 'down_max', 'gcs_max', 'wants',
  'parked_at', 'gcs_wait', 'shunned', 'barred', 'slow', 'slow_at', 'strikes', 'ipad', 'opad', 'zone', 'address' }
local ADDRESS = #FIELDS
local NUMBERS = { wants = true, parked_at = true, gcs_wait = true, shunned = true, barred = true, slow = true,
  slow_at = true, strikes = true, up_max = true, down_max = true, gcs_max = true }
-- What has no place is kept where it is not this, which is seldom.
local SELDOM = { gcs_wait = 0, shunned = 0, slow_at = 0, strikes = 0, zone = '' }
local NODE = { __index = SELDOM }
local BLANK = {}
for k = 1, PLACES.listed do -- the last of its places
  BLANK[k] = false
end

function is_slow(n) return n._slow >= MARKED end

-- Told anew after each change of what it depends on (lib/idle.lua). able: how many may read from it at once; kind: whether it
-- is among the normal or the slow ones.
function weigh_node(n)
  local serves = (n._state == 'live' or n._state == 'draining') and n._barred == 0 and n.shunned <= NOW
  n._able, n._kind = serves and n._up_max or 0, is_slow(n) and 'slow' or 'normal'
end

function may_serve(n) return #n._serves < n._able end

local function read_node(nodes, i)
  local n = setmetatable({ unpack(BLANK) }, NODE)
  n._index, n._handed, n._due = i, true, 0 -- handed: its inbox may hold something; due: as `due` tells, or 0: that is not known
  local values = call('HMGET', node_key(i), unpack(FIELDS))
  for k = 1, ADDRESS - 1 do
    local field, value = FIELDS[k], values[k]
    if NUMBERS[field] then
      value = number(value)
    end
    if PLACES[field] then
      n[PLACES[field]] = value
    elseif value and value ~= SELDOM[field] then
      n[field] = value
    end
  end
  local address = values[ADDRESS]
  n._place_json = address and ',"source":' .. cjson.encode(n._name) .. ',"address":' .. cjson.encode(address) .. ',"ticket":"'
  read_under_way(n)
  n._listed = call('GETBIT', P .. 'up', i) == 1
  weigh_node(n)
  n._place = n._listed and n._kind or nil
  nodes[i] = n
  return n
end
lazily.__index = read_node

-- M.beats, M.beats_count: what is to be written to `seen`, time and node in turn, the oldest first

-- A heartbeat of node i came. A call that may leave nothing writes it at its end, after those that were left.
function heard_of(i)
  if not M.warm then
    call('ZADD', P .. 'seen', NOW_TEXT, i)
    return
  end
  local count = M.beats_count
  M.beats[count + 1], M.beats[count + 2], M.beats_count = NOW_TEXT, i, count + 2
end
acts.catch_up[#acts.catch_up + 1] = function()
  if M.beats_count > 0 then
    call('ZADD', P .. 'seen', 'XX', unpack(M.beats, 1, M.beats_count)) -- who left meanwhile is not there again
    M.beats_count = 0
  end
end

function name_of(i) return N[i]._name or '' end

-- The inbox is of one start of the node: whoever still waits there for an earlier one gets nothing that is meant for this.
function inbox_key(i) return node_key(i) .. ':in:' .. (N[i]._epoch or '') end

function change_node(i, field, value) change(N[i], field, value, PLACES[field]) end

-- Something for node i's next heartbeat: kind "orders", or "dropped", the id of a transfer that it is to drop. M.quiet: nodes for
-- which nothing lies there.
function for_heartbeat(i, kind, value)
  if kind == 'orders' then
    call('RPUSH', node_key(i) .. ':orders', value)
  else
    call('SADD', node_key(i) .. ':dropped', value)
  end
  M.quiet[i] = nil
end

-- True when node i, at this epoch, is the one that Redis knows as alive.
function is_current(i, epoch)
  if not i then
    return false
  end
  local n = N[i]
  return n._epoch == epoch and (n._state == 'live' or n._state == 'draining')
end

-- How many more peers this node may read from. A read from the bucket that can fill its card counts as one.
function room_for_peers(n, j)
  if n._state ~= 'live' then
    return 0
  end
  return n._down_max - n._down - (j.bucket_fills_card and n._gcs or 0)
end

-- Whether this node may read one more shard from the bucket.
function may_read_bucket(n, j)
  return n._state == 'live' and n._gcs < n._gcs_max and n.gcs_wait <= NOW
    and (not j.bucket_fills_card or n._down + n._gcs < n._down_max)
end
