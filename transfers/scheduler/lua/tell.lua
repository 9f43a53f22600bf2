-- tell: write what earlier calls left to be written (lib/lag.lua), for who is about to read it.
--
-- ARGV  now, seed
-- Reply 1
-- Cost  O(jobs that moved something in the last calls)

coordinator_only() -- every call but `next` and `heartbeat` writes what was left when it ends
return 1
