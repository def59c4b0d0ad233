-- Labels without the documents taken out; a cluster named after one of them is named after the first that is left.
SELECT l.address AS address, COALESCE(n.address, l.cluster) AS cluster
FROM labels l
LEFT JOIN gone g ON l.address = g.address
LEFT JOIN heirs n ON l.cluster = n.gone
WHERE g.address IS NULL
