-- tell: write what earlier calls left to be written (lib/lag.lua), for who is about to read it.
--
-- ARGV  now, seed
-- Reply 1
-- Cost  O(jobs, nodes and shards that the last calls left something of)

coordinator_only() -- every call but `next` and `heartbeat` writes what was left when it ends
return 1
