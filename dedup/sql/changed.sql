-- Edges that one iteration has and the other has not.
SELECT COUNT(*) AS changes
FROM (
    SELECT address, root FROM (
        SELECT address, root, 1 AS side FROM before_it
        UNION ALL
        SELECT address, root, 2 AS side FROM after_it
    ) sides
    GROUP BY address, root
    HAVING COUNT(*) = 1
) lonely
