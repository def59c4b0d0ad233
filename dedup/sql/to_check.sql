-- Near pairs of this run whose texts are compared: all below a similarity, and of the others a share that a hash of both
-- texts draws, whatever their addresses (of remainders, so that no product leaves 64 bits).
SELECT v.root AS root, v.address AS address, v.why AS why
FROM verified v
JOIN facts l ON v.root = l.address
JOIN facts r ON v.address = r.address
WHERE v.root >= {first} AND v.similarity >= {threshold}
  AND l.text_bytes <= {longest} AND r.text_bytes <= {longest}
  AND (v.similarity < {below}
       OR (ABS(l.digest_a % {prime}) + ABS(r.digest_a % {prime})) * 7919 % {prime} < {drawn})
