-- Labels of clusters back to labels of their members, earlier ones included.
SELECT c.address AS address, k.cluster AS cluster
FROM contracted k
JOIN current_labels c ON c.cluster = k.address
UNION ALL
SELECT k.address AS address, k.cluster AS cluster
FROM contracted k
LEFT JOIN current_labels c ON c.address = k.address
WHERE c.address IS NULL
