-- How many documents each survivor of this run stands for, itself included, earlier crawls' members too.
SELECT s.representative AS address, COUNT(*) AS documents
FROM labels l
JOIN stays s ON l.cluster = s.cluster
WHERE s.representative >= {first}
GROUP BY s.representative
ORDER BY address
