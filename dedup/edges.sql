-- Candidate pairs as stars: every row of a bucket to the bucket's smallest address, so that a bucket of a million rows
-- costs a million edges and is never collected into one list. Runs unchanged on DuckDB and on Spark.
SELECT DISTINCT g.root AS root, b.address AS address
FROM bands b
JOIN (
    SELECT band, key, MIN(address) AS root
    FROM bands
    GROUP BY band, key
    HAVING COUNT(*) > 1
) g
ON b.band = g.band AND b.key = g.key
WHERE b.address <> g.root
ORDER BY root, address
