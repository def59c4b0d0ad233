-- Pairs that shared a bucket and are not alike: a later crawl need not compare them again.
SELECT DISTINCT root, address, similarity, why
FROM verified
WHERE similarity < {threshold}
