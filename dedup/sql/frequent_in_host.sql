-- As repeated_keys.sql, for keys of (host, line): often enough in their host, and in a large enough share, in millionths,
-- of its documents (integers, for 0.1 * 30 is more than 3). Runs unchanged on DuckDB and on Spark.
SELECT k.part AS part, k.key AS key, r.first_address AS first_address
FROM keys k
JOIN (
    SELECT g.key AS key, g.first_address AS first_address
    FROM (
        SELECT host, key, SUM(occurrences) AS occurrences, MIN(first_address) AS first_address
        FROM keys
        GROUP BY host, key
        HAVING SUM(occurrences) >= {least}
    ) g
    JOIN (SELECT host, SUM(documents) AS documents FROM hosts GROUP BY host) h
    ON g.host = h.host
    WHERE g.occurrences * 1000000 >= h.documents * {millionths}
) r
ON k.key = r.key
ORDER BY part, key
