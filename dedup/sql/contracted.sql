-- Pairs as edges between clusters: an earlier member stands for all of its cluster.
SELECT DISTINCT CASE WHEN a > b THEN a ELSE b END AS address, CASE WHEN a > b THEN b ELSE a END AS root
FROM (
    SELECT COALESCE(x.cluster, p.address) AS a, COALESCE(y.cluster, p.root) AS b
    FROM pairs p
    LEFT JOIN current_labels x ON p.address = x.address
    LEFT JOIN current_labels y ON p.root = y.address
) ends
WHERE a <> b
