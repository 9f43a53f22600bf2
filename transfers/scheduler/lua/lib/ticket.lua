-- ticket: a peer's right to read a shard, signed with the source's own key: HMAC-SHA1 (RFC 2104) from redis.sha1hex.
--
-- The key's two padded forms are made once, at registration, and kept with the node (ipad, opad). The outer hash takes the
-- inner one as the hexadecimal that sha1hex gives: to make bytes of it would cost as much as both hashes, and that each inner
-- digest has one text of its own is all that HMAC needs of it.

local BLOCK = 64
local TICKET_MS = 600000

-- The inner and the outer padded key.
function pads(key)
  if #key > BLOCK then
    key = redis.sha1hex(key)
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
  local sha1hex = redis.sha1hex
  return expires .. '.' .. sha1hex(src.opad .. sha1hex(src.ipad .. job_id .. '|' .. s .. '|' .. dst .. '|' .. expires))
end
