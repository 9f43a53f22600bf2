-- cell: what every script starts with: the cell's prefix, the time, a seeded random, what is remembered of the cell.
--
-- KEYS[1] the cell's prefix, which carries the hash tag: every key of the cell is in one slot
-- ARGV[1] now, in ms: a script never reads a clock
-- ARGV[2] random seed: Redis's own generator starts from the same seed in every call
--
-- Everything is in Redis, or follows from what is there (lib/lag.lua). What a call has read is remembered in the server's Lua for
-- the next one, since reading it again would take half of a call's time. That is safe because each call leaves a mark of its
-- own in Redis:
--
-- stamp  integer: what all calls' random seeds add up to, the last call's mark. What is remembered counts only if it is of
--        that very call. So it is dropped when Redis lost or got other data, when another master or another version of
--        these scripts made a call, and when a call broke off. Who changes a key by hand deletes the stamp.

local P, NOW, NOW_TEXT, ARGV, call -- NOW as text as well: Lua takes half a microsecond to make it
local STAMP, EVENTS, UNDER_WAY, TMP -- keys of every call, made when P is another than the last call's
local M          -- what is remembered of this cell
local N          -- its nodes, by index: what is not remembered yet is read (lib/nodes.lua)
local because    -- what makes matches possible: asked, freed (a source has a slot or a shard), bucket, tick, late (a transfer
                 -- was broken off)
local lazily = {}
-- What the parts do, and when: as a memory begins; of what is remembered, as it is remembered no more; as a call begins after one
-- that broke off, for what they keep for one call; before a call ends; as it ends, when they write; to write what
-- calls left, to leave it or to write it, and to make anew what was left by one that is lost (lib/lag.lua).
local acts = { at_start = {}, at_forget = {}, after_break = {}, last = {}, at_end = {}, catch_up = {}, leave = {}, repair = {} }

local calls = 0 -- since the library was loaded

-- Names that begin and end with these, by what is between: each is made once, and not anew in each call.
local function names_of(before, after)
  return setmetatable({}, { __index = function(names, between)
    local name = before .. between .. after
    names[between] = name
    return name
  end })
end

-- Text of an index or a count: what Lua takes half a microsecond for is made once.
-- What every call asks for looks itself first, here and where jobs, tallies and lists are found: `TEXTS[n] or text_of(n)`. A call
-- of a function costs as much as ten steps.
local TEXTS = {}
local function text_of(n)
  local text = TEXTS[n]
  if not text then
    text = tostring(n)
    TEXTS[n] = text
  end
  return text
end

local later -- NOW + ms as text, rounded up to a whole TENTH: most who ask in that time get the same text
do
  local TENTH = 100 -- ms
  local given, texts = {}, {} -- by ms: which time was given last, and its text
  function later(ms)
    local at = NOW + ms
    at = at + -at % TENTH
    if given[ms] ~= at then
      given[ms], texts[ms] = at, tostring(at)
    end
    return texts[ms]
  end
end

local function number(value) return tonumber(value or 0) or 0 end
local function node_key(i) return P .. 'n:' .. i end
local function job_key(job) return P .. 'j:' .. job end

local row = {} -- a command's arguments, used again by the next
local change, write_changes
do
  -- What this call changed: record k, and in sheet k the fields. Both are used again by the next call: what is made anew in each
  -- call has to be collected again.
  local changed, sheets, changes = {}, {}, 0
  local sheet_of = {}
  acts.after_break[#acts.after_break + 1] = function()
    for k = 1, changes do
      changed[k], sheets[k] = nil, nil
    end
    changes, sheet_of = 0, {}
  end

  -- Change a field of a hash that was read into a record: known at once, written when the call ends. at: where the record
  -- keeps it, if not by its name.
  function change(record, field, value, at)
    at = at or field
    record[at] = value
    local k = sheet_of[record]
    if not k then
      changes = changes + 1
      k = changes
      sheet_of[record], changed[k] = k, record
      sheets[k] = sheets[k] or {}
    end
    sheets[k][field] = at
  end

  -- Write what changed: one command for each hash, however many fields.
  function write_changes()
    for k = 1, changes do
      local record, sheet, last = changed[k], sheets[k], 0
      for field, at in pairs(sheet) do
        row[last + 1], row[last + 2] = field, record[at]
        last = last + 2
        sheet[field] = nil
      end
      call('HSET', record.key or node_key(record._index), unpack(row, 1, last))
      sheet_of[record], changed[k] = nil, nil
    end
    changes = 0
  end
end

local begin, finish, coordinator_only
do
  local PACED_EVERY = 512 -- calls
  local set_pace
  do
    local SMALL, AMPLE = 8, 30   -- MB: of so much the processor's own memory holds a good part; so much the server has to spare
    local USUAL, LEAST = 125, 16 -- percent

    -- How much Lua's collector goes through for what is allocated. What is remembered of thousands of nodes is no garbage, and to
    -- go through it is dear: garbage may lie beside it for long, but for not too much of it (docs/scheduling.md).
    function set_pace()
      local megabytes = collectgarbage('count') / 1024
      local percent = LEAST + 2 * math.max(0, megabytes - AMPLE)
      collectgarbage('setstepmul', megabytes < SMALL and USUAL or math.min(percent, USUAL))
    end
  end

  -- What is remembered of this cell: M. It counts if it is of the call that left the mark `before`.
  local remember
  do
    local CELLS_REMEMBERED = 8
    local memory, cells = {}, 0 -- prefix -> M; how many

    -- What a memory has to write that decides something (lib/lag.lua).
    local function missed_by(of)
      local missed = of.missed or {}
      if (of.unlisted_count or 0) + (of.serving_count or 0) > 0 then
        missed.up = true
      end
      for _, j in ipairs(of.late or {}) do
        if j.late_count > 0 then
          missed[j.id] = true
        end
      end
      return missed
    end

    -- What a memory has still to write (lib/tally.lua, lib/events.lua, lib/log.lua), and nothing else of it.
    local function unwritten(of)
      local rest = { jobs = {}, tallied = {}, mark = of.mark, whole = of.whole or of.stamp, missed = missed_by(of),
        told = of.told, told_count = of.told_count }
      for id, j in pairs(of.jobs) do
        if j.tally or #j.lines > 0 then
          local kept = { key = j.key, state = j.state, lines = j.lines, tally = j.tally }
          rest.jobs[id] = kept
          rest.tallied[#rest.tallied + 1] = j.tally and kept
        end
      end
      return (next(rest.jobs) or next(rest.missed) or rest.told_count > 0) and rest or nil
    end

    -- Start anew. What an earlier memory has still to write is written if Redis went on from there (its last mark, `stamp`, is
    -- that memory's last, a later one, which is greater, or gone, and so 0), and not if it went back to before. Should marks
    -- have started anew since (GREATEST_MARK), it is taken for one that went back: some counts are lost.
    local function forget_cell(stamp)
      local earlier = memory[P]
      if not (earlier and earlier.nodes) then
        if cells >= CELLS_REMEMBERED then
          for prefix, of in pairs(memory) do
            memory[prefix] = unwritten(of)
          end
          cells = 0
        end
        cells = cells + 1
      end
      M = {
        nodes = setmetatable({}, lazily), jobs = {}, indexes = {}, lists = {}, quiet = {}, serves = names_of('', 's'),
        lag = 0, written = NOW, behind = {}, -- what is left to later calls: by lib/lag.lua and the parts that it names
        tallied = {}, late = {}, unlisted = {}, unlisted_count = 0, serving = {}, serving_count = 0, told = {}, told_count = 0,
        beats = {}, beats_count = 0, renewed = {}, renewed_count = 0,
      }
      M.missed = earlier and missed_by(earlier) or {}
      if earlier and earlier.mark and (stamp == 0 or stamp >= earlier.mark) then
        earlier.whole = earlier.whole or earlier.stamp -- its last call came to its end
        for _, act in ipairs(acts.at_forget) do
          act(earlier)
        end
      end
      memory[P] = M -- a call that breaks off in one of these leaves the rest to the next
    end

    function remember(before)
      M = memory[P]
      if not M or M.stamp ~= before or before == 0 then
        forget_cell(before)
      end
    end
  end

  local broken = false -- whether the last call did
  local GREATEST_MARK = 2 ^ 52 -- then they start anew, once in some million calls: up to 2 ^ 53 all whole numbers are Lua's

  function begin(keys, args)
    call = redis.call
    if P ~= keys[1] then
      P = keys[1]
      STAMP, EVENTS, UNDER_WAY, TMP = P .. 'stamp', P .. 'events', P .. 'underway', P .. 'tmp'
    end
    ARGV = args
    NOW, NOW_TEXT = args[1] + 0, args[1] -- a sum reads a number in half the time that tonumber takes
    local seed = args[2] + 0
    math.randomseed(seed)
    calls = calls + 1
    if calls % PACED_EVERY == 0 and keeps_memory then
      set_pace()
    end
    local mark = call('INCRBY', STAMP, args[2])
    remember(mark - seed)
    if mark > GREATEST_MARK then
      mark = seed
      call('SET', STAMP, args[2])
    end
    N, because = M.nodes, 'asked'
    M.stamp, M.mark, M.lags = nil, mark, false -- until the end nothing is to be trusted
    if broken then
      for k = 1, #acts.after_break do
        acts.after_break[k]()
      end
    end
    broken = true -- until the end
    if not M.begun then
      M.begun = true
      for k = 1, #acts.at_start do
        acts.at_start[k]()
      end
    end
  end

  function finish()
    local last, at_end = acts.last, acts.at_end
    for k = 1, #last do
      last[k]()
    end
    for k = 1, #at_end do
      at_end[k]()
    end
    write_changes()
    if M.lags and not M.at_ease then -- what follows from all this is left, or written after it
      for k = 1, #acts.leave do
        acts.leave[k]()
      end
      M.at_ease = M.warm
    end
    M.stamp, broken = M.mark, false
  end

  -- Ends the call, with Redis's own error, for whoever logged in as an agent: its user may not write this key. Operations that
  -- are the coordinator's begin with it, before they write anything else, so that what is remembered stays good: to be refused
  -- does not slow the others down.
  function coordinator_only()
    local answer = redis.pcall('SET', P .. 'coordinator', NOW)
    if answer.err then
      M.stamp, broken = M.mark, false
      error(answer)
    end
  end
end

-- A Lua list as JSON: cjson writes an empty table as an object.
local function json_list(list)
  if #list == 0 then
    return '[]'
  end
  return cjson.encode(list)
end

local function index_of(name)
  local i = M.indexes[name]
  if not i then
    i = call('HGET', P .. 'nodes', name)
    M.indexes[name] = i or nil
  end
  return i
end

-- The index of a node by name; a node is given one when it is first heard of, registered or enrolled.
local function ensure_index(name)
  local i = index_of(name)
  if i then
    return i
  end
  i = tostring(call('INCR', P .. 'node_seq') - 1)
  call('HSET', P .. 'nodes', name, i)
  call('HSET', P .. 'names', i, name)
  call('HSET', node_key(i), 'name', name, 'state', 'absent', 'epoch', 0)
  M.nodes[i] = nil
  return i
end
