-- nodes: what a node may do now. Read once a call, kept in step with every change that this call makes.
--
-- n:<i>  hash; up, down, gcs: slots in use; up_max, down_max, gcs_max: allowed; gcs_wait, shunned: until when it may not
--        read the bucket, or serve; barred: it sent damaged bytes and serves no more; slow, slow_at: see lib/rates.lua
-- up     bitmap: nodes that are alive, have a free upload slot and may serve
-- slow   bitmap: nodes that are slow

local known_nodes, changed_nodes
at_start[#at_start + 1] = function() known_nodes, changed_nodes = {}, {} end

local function load_node(i)
  local n = known_nodes[i]
  if n then
    return n
  end
  local key = node_key(i)
  local v = call('HMGET', key, 'state', 'epoch', 'up', 'up_max', 'down', 'down_max', 'gcs', 'gcs_max', 'gcs_wait',
    'shunned', 'barred', 'slow', 'slow_at', 'wants', 'strikes', 'name', 'request')
  n = {
    key = key, state = v[1], epoch = v[2], up = number(v[3]), up_max = number(v[4]), down = number(v[5]), down_max = number(v[6]),
    gcs = number(v[7]), gcs_max = number(v[8]), gcs_wait = number(v[9]), shunned = number(v[10]), barred = number(v[11]),
    slow = number(v[12]), slow_at = number(v[13]), wants = number(v[14]), strikes = number(v[15]), name = v[16],
    request = v[17], asking = nil, changes = nil,
  }
  known_nodes[i] = n
  return n
end

-- The inbox is of one start of the node: whoever still waits there for an earlier one gets nothing that is meant for this.
local function inbox_key(i) return node_key(i) .. ':in:' .. (load_node(i).epoch or '') end

local function change_node(i, field, value) change(load_node(i), changed_nodes, field, value) end

local function write_nodes()
  write_changes(changed_nodes)
  changed_nodes = {}
end
at_end[#at_end + 1] = write_nodes

local function may_serve(n)
  return (n.state == 'live' or n.state == 'draining') and n.up < n.up_max and n.shunned <= NOW and n.barred == 0
end

-- Put the node among those that can serve, or take it out. Gives whether it can.
local function set_uploader(i)
  local can = may_serve(load_node(i))
  call('SETBIT', P .. 'up', i, can and 1 or 0)
  return can
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
