-- Keys that occur often enough in the whole corpus, given back to each part that has them, with the address of their
-- first occurrence: what a part's task must know, and no more. Runs unchanged on DuckDB and on Spark.
SELECT k.part AS part, k.key AS key, r.first_address AS first_address
FROM keys k
JOIN (
    SELECT key, MIN(first_address) AS first_address
    FROM keys
    GROUP BY key
    HAVING SUM(occurrences) >= {least}
) r
ON k.key = r.key
ORDER BY part, key
