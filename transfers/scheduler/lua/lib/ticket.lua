-- ticket: HMAC-SHA1 (RFC 2104) from redis.sha1hex, so that a peer's right to read a shard is signed with the source's own key.

local BLOCK = 64
local TICKET_MS = 600000

local function unhex(text)
  return (text:gsub('..', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function pad(key, with)
  local bytes = {}
  for k = 1, BLOCK do
    bytes[k] = string.char(bit.bxor(key:byte(k) or 0, with))
  end
  return table.concat(bytes)
end

local function hmac(key, message)
  if #key > BLOCK then
    key = unhex(redis.sha1hex(key))
  end
  return redis.sha1hex(pad(key, 0x5c) .. unhex(redis.sha1hex(pad(key, 0x36) .. message)))
end

local function make_ticket(key, job, shard, dst)
  local expires = string.format('%d', NOW + TICKET_MS)
  return expires .. '.' .. hmac(key, job .. '|' .. shard .. '|' .. dst .. '|' .. expires)
end
