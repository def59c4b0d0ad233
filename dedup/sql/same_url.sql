-- Documents of one normalised address, as stars to the smallest.
SELECT g.root AS root, f.address AS address
FROM facts f
JOIN (
    SELECT url_a, url_b, MIN(address) AS root
    FROM facts
    WHERE url_a IS NOT NULL
    GROUP BY url_a, url_b
    HAVING COUNT(*) > 1
) g
ON f.url_a = g.url_a AND f.url_b = g.url_b
WHERE f.address <> g.root AND f.address >= {first}
