-- Rows that are not alike enough to the root of their bucket, among themselves: the next smallest address is their root.
WITH apart AS (
    SELECT b.key, b.address
    FROM buckets b
    JOIN verified v ON v.root = b.root AND v.address = b.address
    WHERE v.similarity < {threshold}
)
SELECT a.key AS key, a.address AS address, g.root AS root
FROM apart a
JOIN (
    SELECT key, MIN(address) AS root
    FROM apart
    GROUP BY key
    HAVING COUNT(*) > 1
) g
ON a.key = g.key
