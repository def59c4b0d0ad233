-- Rows of every bucket with company, and the bucket's root, its smallest address. Copies of an earlier text stay out:
-- their original speaks for them. A key is a hash of the band's number and rows, so equal keys are of one band.
WITH originals AS (
    SELECT b.key, b.address
    FROM bands b
    LEFT JOIN copies c ON b.address = c.address
    WHERE c.address IS NULL
)
SELECT o.key AS key, o.address AS address, g.root AS root
FROM originals o
JOIN (
    SELECT key, MIN(address) AS root
    FROM originals
    GROUP BY key
    HAVING COUNT(*) > 1
) g
ON o.key = g.key
