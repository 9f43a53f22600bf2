-- nodes: what a node may do now. Read once a call, kept in step with every change that this call makes.
--
-- n:<i>  hash; up, down, gcs: slots in use; up_max, down_max, gcs_max: allowed; gcs_wait, shunned: until when it may not
--        read the bucket, or serve; barred: it sent damaged bytes and serves no more; slow, slow_at: see lib/rates.lua
-- up     bitmap: nodes that are alive, have a free upload slot and may serve
-- slow   bitmap: nodes that are slow

local NODE_FIELDS = { 'state', 'epoch', 'up', 'up_max', 'down', 'down_max', 'gcs', 'gcs_max', 'gcs_wait', 'shunned', 'barred',
  'slow', 'slow_at', 'wants', 'opad', 'ipad', 'address', 'name' }
local TEXT = { state = true, epoch = true, opad = true, ipad = true, address = true, name = true }
local known_nodes
at_start[#at_start + 1] = function() known_nodes = {} end

local function load_node(i)
  local n = known_nodes[i]
  if n then
    return n
  end
  n = {}
  local values = call('HMGET', node_key(i), unpack(NODE_FIELDS))
  for k, field in ipairs(NODE_FIELDS) do
    if TEXT[field] then
      n[field] = values[k]
    else
      n[field] = number(values[k])
    end
  end
  known_nodes[i] = n
  return n
end

local function set_node(i, field, value)
  local n = known_nodes[i]
  if n then
    n[field] = value
  end
  call('HSET', node_key(i), field, value)
end

local function may_serve(n)
  return (n.state == 'live' or n.state == 'draining') and n.up < n.up_max and n.shunned <= NOW and n.barred == 0
end

-- Put the node among those that can serve, or take it out. Gives whether it can.
local function set_uploader(i)
  local can = may_serve(load_node(i))
  call('SETBIT', P .. 'up', i, can and 1 or 0)
  return can
end

-- Take (by 1) or free (by -1) a slot.
local function use_slot(i, kind, by)
  local n = load_node(i)
  n[kind] = call('HINCRBY', node_key(i), kind, by)
  if kind == 'up' then
    set_uploader(i)
  end
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
