-- lag: what calls of `next` and `heartbeat` leave to be written by a later call, since nobody reads it before.
--
-- behind  set: what was left that decides something: "up", which is who serves whom and who can (lib/idle.lua); jobs, of which it
--         is `rarity` (lib/holdings.lua). Who remembers nothing and finds it there makes that anew from what it follows from: a
--         server died that had not written it
--
-- M.lag, M.written: calls since all was written, and when that was. M.lags: whether this call may leave something. M.warm: whether
-- it may be more than counts: not before a memory has had WARM calls of these in a row, since to make it anew costs more than to
-- write it, and where two versions take turns each would keep to itself what the other has to know. M.at_ease: whether Redis knows
-- of all that may be left

local LAG, LAG_MS, WARM = 256, 1000, 64

-- This call may leave something.
function let_lag()
  M.lag = M.lag + 1
  M.lags = keeps_memory and M.lag < LAG and NOW - M.written < LAG_MS
  if M.lag == WARM then
    M.warm = true
  end
end

-- Whether what is called so may be left by this call.
function may_leave(what)
  if M.warm and not M.behind[what] then
    M.behind[what] = true
    call('SADD', P .. 'behind', what)
  end
  return M.warm
end

function write_what_was_left()
  local catch_up = acts.catch_up
  for k = 1, #catch_up do
    catch_up[k]()
  end
  M.lag, M.written = 0, NOW
  if next(M.behind) then
    M.behind = {}
    call('DEL', P .. 'behind')
  end
  M.missed, M.at_ease = {}, false
end

acts.at_end[#acts.at_end + 1] = function()
  if not M.lags then
    write_what_was_left()
  end
end

-- A memory begins. M.missed: what of it a memory before had not written, whether or not Redis says that it is behind: a
-- call broke off before it could say so, or another version made it anew as it knows it.
acts.at_start[#acts.at_start + 1] = function()
  for _, what in ipairs(call('SMEMBERS', P .. 'behind')) do
    M.missed[what], M.behind[what] = true, true
  end
  for what in pairs(M.missed) do
    M.lag = LAG -- so that this call leaves nothing
    for _, act in ipairs(acts.repair) do
      act(what)
    end
  end
end
