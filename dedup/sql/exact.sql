-- Texts that are the same words, as stars: every document to the one of smallest address. A million copies of one page
-- cost a million rows, and are never collected into one list.
SELECT g.root AS root, f.address AS address
FROM facts f
JOIN (
    SELECT digest_a, digest_b, MIN(address) AS root
    FROM facts
    WHERE digest_a IS NOT NULL
    GROUP BY digest_a, digest_b
    HAVING COUNT(*) > 1
) g
ON f.digest_a = g.digest_a AND f.digest_b = g.digest_b
WHERE f.address <> g.root AND f.address >= {first}
