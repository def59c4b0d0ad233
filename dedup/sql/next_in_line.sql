-- For each document taken out that others are filed under (the first of a cluster, or of copies): who is first now.
SELECT r.filed_under AS gone, MIN(r.address) AS address
FROM (SELECT address, {column} AS filed_under FROM rows_of) r
JOIN gone g ON r.filed_under = g.address
LEFT JOIN gone h ON r.address = h.address
WHERE h.address IS NULL
GROUP BY r.filed_under
