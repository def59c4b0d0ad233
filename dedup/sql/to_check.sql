-- Near pairs of this run whose texts are compared: all below a similarity, and of the others a share that a hash of the
-- pair draws (of remainders, so that no product leaves 64 bits).
SELECT root, address, why
FROM verified
WHERE root >= {first} AND similarity >= {threshold}
  AND (similarity < {below} OR ((root % {prime}) * 7919 + (address % {prime}) * 104729) % {prime} < {drawn})
