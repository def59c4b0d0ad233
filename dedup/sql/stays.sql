-- Of each cluster the document that stays: the first by preference, then by address. No list of a cluster's members is
-- made: minima and joins are enough.
WITH members AS (
    SELECT l.address, l.cluster, f.preference
    FROM labels l
    JOIN facts f ON f.address = l.address
),
best AS (
    SELECT cluster, MIN(preference) AS preference FROM members GROUP BY cluster
)
SELECT m.cluster AS cluster, MIN(m.address) AS representative
FROM members m
JOIN best b ON m.cluster = b.cluster AND m.preference = b.preference
GROUP BY m.cluster
