-- Kiveris et al. 2014, "Connected Components in MapReduce and Beyond": every greater neighbour of a node is linked to
-- the node's smallest neighbour. Edges are (address, root) with address > root.
WITH both_ways AS (
    SELECT address AS node, root AS other FROM edges
    UNION ALL
    SELECT root AS node, address AS other FROM edges
),
smallest AS (
    SELECT node, CASE WHEN MIN(other) < node THEN MIN(other) ELSE node END AS root
    FROM both_ways
    GROUP BY node
)
SELECT DISTINCT b.other AS address, s.root AS root
FROM both_ways b
JOIN smallest s ON b.node = s.node
WHERE b.other > b.node
