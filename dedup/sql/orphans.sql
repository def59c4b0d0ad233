-- Members of clusters whose survivor is taken out: none of them is in a corpus.
SELECT l.address AS address
FROM labels l
JOIN stays s ON l.cluster = s.cluster
JOIN gone g ON s.representative = g.address
