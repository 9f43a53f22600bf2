-- bits: sets as bitmaps, bit i being SETBIT's bit i. Scans are of one string in Lua, which skips zero bytes at C speed.

-- A bitmap of `count` ones.
local function ones(count)
  local whole, rest = math.floor(count / 8), count % 8
  local out = string.rep('\255', whole)
  if rest > 0 then
    out = out .. string.char(256 - 2 ^ (8 - rest))
  end
  return out
end

local function has_bit(text, i)
  local byte = text:byte(math.floor(i / 8) + 1)
  return byte ~= nil and bit.band(byte, bit.rshift(128, i % 8)) ~= 0
end

-- The first set bit of a bitmap, or nil.
local function first_bit(text)
  local at = text:find('[^%z]')
  if not at then
    return nil
  end
  local byte = text:byte(at)
  for k = 0, 7 do
    if bit.band(byte, bit.rshift(128, k)) ~= 0 then
      return (at - 1) * 8 + k
    end
  end
end

-- The first `limit` set bits of a bitmap.
local function first_bits(text, limit)
  local out = {}
  local at = text:find('[^%z]')
  while at and #out < limit do
    local byte = text:byte(at)
    for k = 0, 7 do
      if bit.band(byte, bit.rshift(128, k)) ~= 0 and #out < limit then
        out[#out + 1] = (at - 1) * 8 + k
      end
    end
    at = text:find('[^%z]', at + 1)
  end
  return out
end

-- Up to `limit` set bits of a bitmap, from a random place on, round the end.
local function some_bits(text, limit)
  local out = {}
  local length = #text
  if length == 0 then
    return out
  end
  local start = math.random(length)
  local from, last, wrapped = start, length, false
  while #out < limit do
    local at = text:find('[^%z]', from)
    if not at or at > last then
      if wrapped or start == 1 then
        break
      end
      wrapped, from, last = true, 1, start - 1
    else
      local byte = text:byte(at)
      for k = 0, 7 do
        if bit.band(byte, bit.rshift(128, k)) ~= 0 and #out < limit then
          out[#out + 1] = (at - 1) * 8 + k
        end
      end
      from = at + 1
      if from > last then
        if wrapped or start == 1 then
          break
        end
        wrapped, from, last = true, 1, start - 1
      end
    end
  end
  return out
end

-- Bits of A and B as a string ('' when none).
local function both(a, b)
  local t = P .. 'tmp'
  call('BITOP', 'AND', t, a, b)
  return call('GET', t) or ''
end

-- Bits of A that are not in B (B may be shorter).
local function without(a, b)
  local t = P .. 'tmp'
  call('BITOP', 'AND', t, a, b)
  call('BITOP', 'XOR', t, t, a)
  return call('GET', t) or ''
end
