-- ask: a node asks to be admitted by the identity of its machine; the coordinator answers (admit).
--
-- ARGV  now, seed, node, digest (sha256 hex) of the secret with which it is to register, what proves its identity
-- Reply 1
-- Cost  O(1)
--
-- asking    hash: node -> its question as JSON {digest, proof}; a later one replaces it
-- admitted  hash: node -> digest of the secret with which it, and no other, may register
-- refusals  hash: node -> why not

call('HSET', P .. 'asking', ARGV[3], cjson.encode({ digest = ARGV[4], proof = ARGV[5] }))
return 1
