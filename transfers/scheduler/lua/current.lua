-- current: whose files every node that has them names by the link `current` in a folder.
--
-- ARGV  now, seed, folder below the data directories, job, '' for no longer any
-- Reply 1, or 0 when that was so already
-- Cost  O(1)
--
-- Promises: the revision that heartbeats bring changes with the hash, so that no node stays with an older word. A node
-- follows it as soon as it has all files of the job, and leaves its link alone where the hash has nothing.

coordinator_only()
local folder, job = ARGV[3], ARGV[4]
if (call('HGET', P .. 'currents', folder) or '') == job then
  return 0
end
if job == '' then
  call('HDEL', P .. 'currents', folder)
else
  call('HSET', P .. 'currents', folder, job)
end
M.currents_rev = M.mark -- of this very call
call('SET', P .. 'currents_rev', M.mark)
return 1
