-- tally: what is counted of a job for those who look at it, and decides nothing: shards held, transfers moving, assigned,
-- attempts, bytes from peers. Kept as differences and written now and then: five fields a call are a tenth of its time.
--
-- A server that dies takes the differences of some calls along; nothing else loses them.

local LAG = 32 -- calls of `next` after which they are written, if nothing else wrote them

-- Add to a job's tally.
function tally(j, field, by)
  local counted = j.tally
  if not counted then
    if not j.state then
      return -- a job that is gone is not written: its hash would come to be again
    end
    counted = {}
    j.tally = counted
    M.tallied[#M.tallied + 1] = j
  end
  counted[field] = (counted[field] or 0) + by
end

-- A pair was looked at, or a read of the bucket given: to be compared with what was assigned.
function attempt(j) tally(j, 'attempts', 1) end

-- Write what memory `of` has counted.
function write_tallies(of)
  of.lag = 0
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

at_forget[#at_forget + 1] = write_tallies

local may_lag -- this call may leave them for a later one
at_start[#at_start + 1] = function() may_lag = false end

function let_tallies_lag()
  M.lag = M.lag + 1
  may_lag = keeps_memory and M.lag < LAG
end

at_end[#at_end + 1] = function()
  if not may_lag then
    write_tallies(M)
  end
end
