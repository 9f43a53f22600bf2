-- ticket: a peer's right to read a shard, signed with the source's own key: HMAC-SHA1 (RFC 2104) from redis.sha1hex.
--
-- The key's two padded forms are made once, at registration, and kept with the node (ipad, opad).

local BLOCK = 64
local TICKET_MS = 600000

-- The bytes of a text in hexadecimal, by two digits at a time, each pair's byte being made when it is first met.
local BYTES = {}
local function unhex(hex)
  local bytes = hex:gsub('%x%x', BYTES)
  if #bytes * 2 > #hex then
    for pair in hex:gmatch('%x%x') do
      BYTES[pair] = string.char(tonumber(pair, 16))
    end
    bytes = hex:gsub('%x%x', BYTES)
  end
  return bytes
end

-- The inner and the outer padded key.
function pads(key)
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

-- A ticket for the node called dst to read shard s (as text) of the job from node src.
function ticket(src, job_id, s, dst)
  local expires = later(TICKET_MS)
  local inner = redis.sha1hex(src.ipad .. job_id .. '|' .. s .. '|' .. dst .. '|' .. expires)
  return expires .. '.' .. redis.sha1hex(src.opad .. unhex(inner))
end
