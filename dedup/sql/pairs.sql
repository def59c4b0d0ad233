-- Verified pairs, each once.
SELECT DISTINCT root, address, similarity, why
FROM verified
WHERE similarity >= {threshold}
