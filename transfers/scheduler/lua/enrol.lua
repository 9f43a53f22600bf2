-- enrol: these nodes are to get the job; they may be unknown yet, and late joiners come in the same way.
--
-- ARGV  now, seed, job, node names as JSON (the caller sends at most some hundreds a call)
-- Reply how many were added, or -1 when there is no such job
-- Cost  O(nodes)

coordinator_only()
local j = load_job(ARGV[3])
if not exists(j) then
  return -1
end
local added = 0
for _, name in ipairs(cjson.decode(ARGV[4])) do
  local i = ensure_index(name)
  if not member(j, i) then
    local state = N[i]._state
    set_member(j, i, (state == 'dead' or state == 'left') and 'gone' or 'enrolled')
    change_job(j, 'chain_end', j.chain_end + 1)
    call('ZADD', j.key .. ':chain', j.chain_end, i)
    want_job(i, j)
    serve_job(i, j)
    call('SADD', node_key(i) .. ':all', j.id)
    N[i]._all = nil
    change_job(j, 'nodes', j.nodes + 1)
    event('enrolled', 'job', j.id, 'node', name)
    added = added + 1
  end
end
if added > 0 then
  reopen_job(j, 'nodes joined')
end
return added
