-- ticket: a peer's right to read a shard, signed with the source's own key: HMAC-SHA1 (RFC 2104) from redis.sha1hex.
--
-- The key's two padded forms are made once, at registration, and kept with the node (ipad, opad).

local BLOCK = 64
local TICKET_MS = 600000

-- The 20 bytes of a SHA-1 in hexadecimal.
local function unhex(hex)
  return struct.pack('>I4I4I4I4I4', tonumber(hex:sub(1, 8), 16), tonumber(hex:sub(9, 16), 16), tonumber(hex:sub(17, 24), 16),
    tonumber(hex:sub(25, 32), 16), tonumber(hex:sub(33, 40), 16))
end

-- The inner and the outer padded key.
local function pads(key)
  if #key > BLOCK then
    key = unhex(redis.sha1hex(key))
  end
  local inner, outer = {}, {}
  for k = 1, BLOCK do
    inner[k] = string.char(bit.bxor(key:byte(k) or 0, 0x36))
    outer[k] = string.char(bit.bxor(key:byte(k) or 0, 0x5c))
  end
  return table.concat(inner), table.concat(outer)
end

-- The address of node src, and a ticket for dst to read shard s of the job there.
local function access(src, job_id, s, dst)
  local n = call('HMGET', node_key(src), 'address', 'ipad', 'opad')
  local expires = string.format('%d', NOW + TICKET_MS)
  local inner = redis.sha1hex(n[2] .. job_id .. '|' .. s .. '|' .. dst .. '|' .. expires)
  return n[1], expires .. '.' .. redis.sha1hex(n[3] .. unhex(inner))
end
