-- ticket: a peer's right to read a shard, signed with the source's own key: HMAC-SHA1 (RFC 2104) from redis.sha1hex.
--
-- The key's two padded forms are made once, at registration, and kept with the node (ipad, opad). The outer hash takes the
-- inner one as the hexadecimal that sha1hex gives: to make bytes of it would cost as much as both hashes, and that each inner
-- digest has one text of its own is all that HMAC needs of it.

local BLOCK = 64
local TICKET_MS = 600000
local ROUNDED_MS = 10000 -- tickets of so many ms are good until the same moment: its text is made once

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

local until_time, until_text

-- A ticket for the node called dst to read shard s (as text) of the job from node src: until when it is good, and the
-- signature, which a dot separates.
function ticket(src, job_id, s, dst)
  local good_until = NOW - NOW % ROUNDED_MS + ROUNDED_MS + TICKET_MS
  if until_time ~= good_until then
    until_time, until_text = good_until, string.format('%d', good_until)
  end
  local sha1hex = redis.sha1hex
  return until_text, sha1hex(src._opad .. sha1hex(src._ipad .. job_id .. '|' .. s .. '|' .. dst .. '|' .. until_text))
end
