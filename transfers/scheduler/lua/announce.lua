-- announce: a node says which shards of a job it has verified on its disk. `next` serves it only after this.
--
-- ARGV  now, seed, job, node, epoch, held as JSON {shard: crc32c}
-- Reply {shards counted, rejected shards as JSON}; {-1} unknown node or epoch; {-2} no such job or not enrolled
-- Cost  O(shards announced)
--
-- Promises: a shard whose digest disagrees with the recorded one is not counted. A digest that nobody recorded is taken
-- over: after a loss of Redis the nodes are the truth, and whole files are still checked against the bucket's checksum.

local j = load_job(ARGV[3])
local job = j.key
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return { -1 }
end
local state = call('HGET', job .. ':members', i)
if not state or not exists(j) then
  return { -2 }
end
local rejected, counted = {}, 0
local limit = j.shard_count
for s, crc in pairs(cjson.decode(ARGV[6])) do
  local shard = tonumber(s)
  if shard and shard >= 0 and shard < limit then
    local text = string.format('%.0f', crc)
    call('HSETNX', job .. ':digest', s, text)
    if call('HGET', job .. ':digest', s) == text then
      call('SETBIT', j.need .. i, shard, 0)
      call('SETBIT', j.got .. shard, i, 1)
      hold(j, i, shard)
      counted = counted + 1
    else
      rejected[#rejected + 1] = shard
    end
  end
end
if state ~= 'done' then
  if number(call('HGET', job .. ':counts', i)) < limit then
    reopen_job(j, 'a node is back')
  end
  set_member(job, i, 'ready')
  set_parked(i, load_node(i).wants)
end
call('HSETNX', job, 'started', NOW)
wake_for_uploader(i)
wake_successors(i)
return { counted, json_list(rejected) }
