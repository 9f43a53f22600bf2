-- tally: what is counted of a job for those who look at it, and decides nothing: shards held, transfers moving, assigned,
-- attempts, bytes from peers. Kept as differences and written now and then: five fields a call are a tenth of its time.
--
-- A server that dies takes the differences of some calls along; nothing else loses them.

-- A job's tally, to be added to.
function tally_of(j)
  local counted = j.tally
  if not counted then
    counted = { held = 0, moving = 0, assigned = 0, attempts = 0, bytes_peer = 0 }
    if j.state then -- a job that is gone is not written: its hash would come to be again
      j.tally = counted
      M.tallied[#M.tallied + 1] = j
    end
  end
  return counted
end

-- A pair was looked at, or a read of the bucket given: to be compared with what was assigned.
function attempt(j)
  local counted = j.tally or tally_of(j)
  counted.attempts = counted.attempts + 1
end

-- Write what memory `of` has counted.
local function write_tallies(of)
  for k, j in ipairs(of.tallied) do
    if call('HEXISTS', j.key, 'state') == 1 then
      for field, by in pairs(j.tally) do
        if by ~= 0 then
          call('HINCRBY', j.key, field, by)
        end
      end
    end
    j.tally, of.tallied[k] = nil, nil
  end
end

acts.at_forget[#acts.at_forget + 1] = write_tallies

acts.catch_up[#acts.catch_up + 1] = function() write_tallies(M) end
