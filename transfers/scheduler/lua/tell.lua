-- tell: write what is counted and not written yet, for who is about to read it.
--
-- ARGV  now, seed
-- Reply 1
-- Cost  O(jobs that moved something in the last calls)

coordinator_only() -- every call but `next` and `heartbeat` writes it when it ends
return 1
