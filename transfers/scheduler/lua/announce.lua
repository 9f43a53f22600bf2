-- announce: a node says which shards of a job it has verified on its disk. `next` serves it only after this.
--
-- ARGV  now, seed, job, node, epoch, held as JSON {shard: crc32c}
-- Reply {shards counted, rejected shards as JSON}; {-1} unknown node or epoch; {-2} no such job or not enrolled
-- Cost  O(shards announced), and for the last node that a job awaits O(shards)
--
-- Promises: a shard whose digest disagrees with the recorded one is not counted. A digest that nobody recorded is taken
-- over: after a loss of Redis the nodes are the truth, and whole files are still checked against the bucket's checksum.

local j = load_job(ARGV[3])
local i = index_of(ARGV[4])
if not is_current(i, ARGV[5]) then
  return { -1 }
end
local state = member(j, i)
if not state or not exists(j) then
  return { -2 }
end
local rejected, counted = {}, 0
for text, crc in pairs(cjson.decode(ARGV[6])) do
  local s = tonumber(text)
  if s and s >= 0 and s < j.shard_count then
    local known = digest_of(j, s)
    local told = string.format('%.0f', crc)
    if not known then
      set_digest(j, s, told)
    end
    if not known or known == told then
      if j.topology == 'pipeline' then
        call('SETBIT', j.got .. s, i, 1)
      end
      hold(j, i, s, text_of(s))
      counted = counted + 1
    else
      rejected[#rejected + 1] = s
    end
  end
end
if state ~= 'done' then
  if count_of(j, i) < j.shard_count then
    reopen_job(j, 'a node is back')
  end
  set_member(j, i, 'ready')
  set_parked(i, N[i]._wants)
end
if await_over(j) then
  bucket_changed(j.id)
end
if j.started == 0 then
  change_job(j, 'started', NOW)
end
wake_for_uploader(i)
wake_successors(i)
return { counted, json_list(rejected) }
