-- Every member of a cluster but the one that stays, said to be removed for the neighbour it matched best.
WITH ends AS (
    SELECT address, root AS other, similarity, why FROM pairs
    UNION ALL
    SELECT root AS address, address AS other, similarity, why FROM pairs
),
weighed AS (
    SELECT address, other, similarity, why,
           CASE why WHEN 'exact_duplicate' THEN 3.0 WHEN 'near_duplicate' THEN 1.0 ELSE 0.0 END + similarity AS weight
    FROM ends
),
heaviest AS (
    SELECT address, MAX(weight) AS weight FROM weighed GROUP BY address
),
matched AS (
    SELECT w.address, MIN(w.other) AS other, MIN(w.why) AS why, MIN(w.similarity) AS similarity
    FROM weighed w
    JOIN heaviest h ON w.address = h.address AND w.weight = h.weight
    GROUP BY w.address
)
SELECT f.address AS address, f.id AS id, f.url AS url, m.why AS why, l.cluster AS cluster,
       s.representative AS representative, r.id AS representative_id, m.similarity AS similarity,
       m.other AS matched, f.text_bytes AS text_bytes, n.id AS matched_id, n.url AS matched_url
FROM labels l
JOIN stays s ON l.cluster = s.cluster
JOIN facts f ON f.address = l.address
JOIN matched m ON m.address = l.address
JOIN facts r ON r.address = s.representative
JOIN facts n ON n.address = m.other
WHERE l.address <> s.representative AND l.address >= {first}
ORDER BY address
