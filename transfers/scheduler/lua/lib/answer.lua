-- answer: what `next` replies, and replies again to a request that is repeated.
--
-- What a node was told (lib/underway.lua): the request's id; a mark, whether it was parked then; the leases given, separated by
-- spaces, and if there is more to say, a line of JSON with that.

local function head_of(parked, outcome)
  return '{"parked":' .. (parked and 'true' or 'false') .. ',"unsettled":' .. json_list(outcome.unsettled)
    .. ',"rejected":' .. json_list(outcome.rejected) .. ',"stale":' .. json_list(outcome.stale)
    .. ',"finished":' .. json_list(outcome.finished) .. '}'
end

-- Most have nothing more to say.
local NOTHING = { unsettled = {}, rejected = {}, stale = {}, finished = {} }
local PARKED, NOT_PARKED = head_of(true, NOTHING), head_of(false, NOTHING)

local WAITS, WAITS_NOT = ' + ', '  '

local answer, ids = {}, {} -- used again by each call; ids of the leases that are not in an inbox
answer.ids = ids

-- A list of an empty place, for what end_answer puts there; the assignments are to follow.
function begin_answer()
  for k = #answer, 2, -1 do
    answer[k], ids[k] = nil, nil
  end
  answer[1] = ''
  return answer
end

-- The list as it is replied, noted with the node.
function end_answer(n, request, parked, outcome)
  local count = #answer
  for k = 2, count do
    ids[k] = ids[k] or answer[k]:match('^{"lease":"([^"]+)')
  end
  local given, head = count == 2 and ids[2] or table.concat(ids, ' ', 2, count), parked and PARKED or NOT_PARKED
  if outcome.noteworthy then
    head = head_of(parked, outcome)
    given = given .. '\n' .. head
  end
  answer[1] = head
  tell(n, request, parked and WAITS or WAITS_NOT, given)
  return answer
end

-- Whether this is the request that the node made last.
function is_repeated(n, request)
  return request ~= '' and n._request == request
end

-- The reply to the node's last call, without what has ended since.
function told_again(i)
  local n = N[i]
  local leases, head = n._given:match('^([^\n]*)\n?(.*)$')
  local again = { head ~= '' and head or n._mark == WAITS and PARKED or NOT_PARKED }
  for id in leases:gmatch('%S+') do
    local l = lease_of(i, id)
    if l then
      again[#again + 1] = assignment_of(load_job(l._job), l)
    end
  end
  return again
end
