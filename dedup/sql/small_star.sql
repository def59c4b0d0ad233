-- Kiveris et al. 2014: a node and its smaller neighbours are linked to the smallest of them.
WITH smallest AS (
    SELECT address, MIN(root) AS root
    FROM edges
    GROUP BY address
)
SELECT DISTINCT e.root AS address, s.root AS root
FROM edges e
JOIN smallest s ON e.address = s.address
WHERE e.root <> s.root
UNION
SELECT address, root FROM smallest
