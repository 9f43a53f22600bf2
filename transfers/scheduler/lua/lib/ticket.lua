-- ticket: a peer's right to read a shard, signed with the source's own key: HMAC-SHA1 (RFC 2104) from redis.sha1hex.
--
-- The key's two padded forms are made once, at registration, and kept with the node (ipad, opad).

local BLOCK = 64
local TICKET_MS = 600000

local function unhex(text)
  local words = {}
  for k = 1, #text, 8 do
    words[#words + 1] = struct.pack('>I4', tonumber(text:sub(k, k + 7), 16))
  end
  return table.concat(words)
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

local function make_ticket(n, job, shard, dst)
  local expires = string.format('%d', NOW + TICKET_MS)
  local inner = redis.sha1hex(n.ipad .. job .. '|' .. shard .. '|' .. dst .. '|' .. expires)
  return expires .. '.' .. redis.sha1hex(n.opad .. unhex(inner))
end
