-- Documents of the pairs to check, each once, in order.
SELECT DISTINCT address
FROM (
    SELECT root AS address FROM chosen
    UNION ALL
    SELECT address FROM chosen
) ends
ORDER BY address
