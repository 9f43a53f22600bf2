-- cell: what every script starts with: the cell's prefix, the time, a seeded random, events, nodes by name.
--
-- KEYS[1] the cell's prefix, which carries the hash tag: every key of the cell is in one slot
-- ARGV[1] now, in ms: a script never reads a clock
-- ARGV[2] random seed: Redis's own generator starts from the same seed in every call

local P, NOW, ARGV, call
local at_start = {} -- what parts that remember something forget when a call begins
local at_end = {}   -- what they write when it ends

local function begin(keys, args)
  call = redis.call
  P, ARGV = keys[1], args
  NOW = tonumber(args[1])
  math.randomseed(tonumber(args[2]))
  for _, forget in ipairs(at_start) do
    forget()
  end
end

local function finish()
  for _, write in ipairs(at_end) do
    write()
  end
end

-- Change a field of a hash that was read into a record: known at once, written when the call ends.
local function change(record, changed, field, value)
  record[field] = value
  if not record.changes then
    record.changes = {}
    changed[#changed + 1] = record
  end
  record.changes[field] = value
end

-- Write what changed: one command for each hash, however many fields.
local function write_changes(changed)
  for _, record in ipairs(changed) do
    local flat = {}
    for field, value in pairs(record.changes) do
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
    call('HSET', record.key, unpack(flat))
    record.changes = nil
  end
end

-- A Lua list as JSON: cjson writes an empty table as an object.
local function json_list(list)
  if #list == 0 then
    return '[]'
  end
  return cjson.encode(list)
end

local function node_key(i) return P .. 'n:' .. i end
local function job_key(job) return P .. 'j:' .. job end
local function index_of(name) return call('HGET', P .. 'nodes', name) end
local function name_of(i) return call('HGET', P .. 'names', i) or '' end

-- The index of a node by name; a node is given one when it is first heard of, registered or enrolled.
local function ensure_index(name)
  local i = index_of(name)
  if i then
    return i
  end
  i = tostring(call('INCR', P .. 'node_seq') - 1)
  call('HSET', P .. 'nodes', name, i)
  call('HSET', P .. 'names', i, name)
  call('HSET', node_key(i), 'state', 'absent', 'up', 0, 'down', 0, 'gcs', 0, 'epoch', 0)
  return i
end

local function number(value) return tonumber(value or 0) or 0 end

-- True when node i, at this epoch, is the one that Redis knows as alive.
local function is_current(i, epoch)
  if not i then
    return false
  end
  local known = call('HMGET', node_key(i), 'epoch', 'state')
  return known[1] == epoch and (known[2] == 'live' or known[2] == 'draining')
end
