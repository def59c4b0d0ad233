-- Signatures of the documents that share a bucket with another: the only ones that are compared.
SELECT s.address AS address, s.signature AS signature
FROM signatures s
JOIN (SELECT DISTINCT address FROM (
    SELECT address FROM buckets
    UNION ALL
    SELECT root AS address FROM buckets
) ends) w
ON s.address = w.address
