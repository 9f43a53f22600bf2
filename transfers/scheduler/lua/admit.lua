-- admit: the coordinator's answer to a node that asked, or, with no digest, the end of what it was answered.
--
-- ARGV  now, seed, node, digest of its secret, why it is refused ('' when it is admitted)
-- Reply 1
-- Cost  O(1)
--
-- Promises: a question that came meanwhile stays, to be answered in its turn.

coordinator_only()
local node, digest, why = ARGV[3], ARGV[4], ARGV[5]
local question = call('HGET', P .. 'asking', node)
if question and cjson.decode(question).digest == digest then
  call('HDEL', P .. 'asking', node)
end
if digest ~= '' and why == '' then
  call('HSET', P .. 'admitted', node, digest)
  call('HDEL', P .. 'refusals', node)
elseif digest == '' then
  call('HDEL', P .. 'admitted', node)
  call('HDEL', P .. 'refusals', node)
else
  call('HSET', P .. 'refusals', node, why)
end
return 1
