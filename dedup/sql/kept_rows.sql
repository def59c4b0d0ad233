-- Rows of documents that were not taken out.
SELECT {columns}
FROM rows_of r
LEFT JOIN gone g ON r.address = g.address
WHERE g.address IS NULL
