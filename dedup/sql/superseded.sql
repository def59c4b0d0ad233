-- Documents of earlier crawls that stayed until now, and would not have, had this crawl been there: a better one has
-- come, or two clusters are one.
WITH members AS (
    SELECT l.address, l.cluster, f.preference, COALESCE(c.cluster, l.address) AS before_it
    FROM labels l
    JOIN facts f ON f.address = l.address
    LEFT JOIN current_labels c ON c.address = l.address
),
best_before AS (
    SELECT before_it, MIN(preference) AS preference FROM members WHERE address < {first} GROUP BY before_it
),
stayed AS (
    SELECT m.before_it, MIN(m.address) AS address
    FROM members m
    JOIN best_before b ON m.before_it = b.before_it AND m.preference = b.preference
    WHERE m.address < {first}
    GROUP BY m.before_it
)
SELECT s.address AS address, f.id AS id, f.url AS url, m.cluster AS cluster, w.representative AS representative,
       r.id AS representative_id, f.text_bytes AS text_bytes
FROM stayed s
JOIN members m ON m.address = s.address
JOIN stays w ON w.cluster = m.cluster
JOIN facts f ON f.address = s.address
JOIN facts r ON r.address = w.representative
WHERE w.representative <> s.address AND f.preference < '{after_all}'
ORDER BY address
