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

-- A bit's value in its byte. `byte % (2 * value) >= value` tests it: arithmetic is a tenth of a call of the bit library.
local BIT = { [0] = 128, 64, 32, 16, 8, 4, 2, 1 }

local function has_bit(text, i)
  local byte, value = text:byte((i - i % 8) / 8 + 1), BIT[i % 8]
  return byte ~= nil and byte % (2 * value) >= value
end

local first_bits, some_bits, some_bits_but
do
  local set_in = {} -- byte -> the numbers of its set bits, bit 0 being worth 128: made when it is first asked for

  local function look_at(byte)
    local set = {}
    for k = 0, 7 do
      if byte % (2 * BIT[k]) >= BIT[k] then
        set[#set + 1] = k
      end
    end
    set_in[byte] = set
    return set
  end

  -- Add the set bits of a byte, which is at place `at` of a bitmap, to a list of `count`, which is to have no more than `limit`.
  -- Gives how many it has then.
  local function add_bits(out, count, limit, byte, at)
    local set, first = set_in[byte] or look_at(byte), (at - 1) * 8
    local last = #set
    if last > limit - count then
      last = limit - count
    end
    for k = 1, last do
      out[count + k] = first + set[k]
    end
    return count + last
  end

  -- The first `limit` set bits of a bitmap.
  function first_bits(text, limit)
    local out, count = {}, 0
    local at = text:find('[^%z]')
    while at and count < limit do
      count = add_bits(out, count, limit, text:byte(at), at)
      at = text:find('[^%z]', at + 1)
    end
    return out
  end

  -- Up to `limit` set bits of a bitmap, from a random place on, round the end: in a new list, or in `out`, where
  -- what was there before is left behind them. Gives the list, and how many they are.
  function some_bits(text, limit, out)
    local count = 0
    out = out or {}
    local length = #text
    if length == 0 then
      return out, 0
    end
    local start = math.random(length)
    local from, last, wrapped = start, length, start == 1
    while count < limit do
      local at = from <= last and text:find('[^%z]', from) or nil
      if at and at <= last then
        count = add_bits(out, count, limit, text:byte(at), at)
        from = at + 1
      elseif wrapped then
        break
      else
        wrapped, from, last = true, 1, start - 1
      end
    end
    return out, count
  end

  local BYTES_TRIED = 8

  -- As some_bits, of one bitmap but for those of another, as far as there are any in a few bytes from a random place on.
  function some_bits_but(text, but, limit, out)
    local count, length = 0, #text
    local at = length > 0 and math.random(length)
    for _ = 1, length < BYTES_TRIED and length or BYTES_TRIED do
      local byte = text:byte(at)
      if byte > 0 then
        local left = byte - bit.band(byte, but:byte(at) or 0)
        if left > 0 then
          count = add_bits(out, count, limit, left, at)
          if count >= limit then
            break
          end
        end
      end
      at = at % length + 1
    end
    return out, count
  end
end

-- The first `limit` of `size` bits that are not set, but for those that have this value in the table `except`.
local function first_gaps(text, size, limit, except, value)
  local out, count = {}, 0
  local at = text:find('[^\255]') or #text + 1
  while at * 8 - 7 <= size and count < limit do
    local byte = text:byte(at) or 0
    for k = 0, 7 do
      local i = (at - 1) * 8 + k
      if byte % (2 * BIT[k]) < BIT[k] and i < size and except[i] ~= value and count < limit then
        count = count + 1
        out[count] = i
      end
    end
    at = text:find('[^\255]', at + 1) or math.max(at, #text) + 1
  end
  return out
end

-- Every set bit of a bitmap.
local function all_bits(text) return first_bits(text, #text * 8) end

-- Bits of any of the bitmaps with these keys, as a string.
local function any_of(keys)
  if #keys == 0 or call('BITOP', 'OR', TMP, unpack(keys)) == 0 then
    return ''
  end
  return call('GET', TMP) or ''
end

-- Bits of A and B, and of C if there is one, as a string ('' when none).
local function both(a, b, c)
  if (c and call('BITOP', 'AND', TMP, a, b, c) or call('BITOP', 'AND', TMP, a, b)) == 0 then
    return ''
  end
  return call('GET', TMP) or ''
end

-- Bits of A that are not in B (B may be shorter), and not in C if there is one.
local function without(a, b, c)
  if c then
    call('BITOP', 'OR', TMP, b, c)
    b = TMP
  end
  call('BITOP', 'AND', TMP, a, b)
  call('BITOP', 'XOR', TMP, TMP, a)
  return call('GET', TMP) or ''
end
