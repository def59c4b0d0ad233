-- Rows of earlier crawls in buckets of this one: all that this crawl needs of them.
SELECT o.band AS band, o.key AS key, o.address AS address
FROM earlier o
JOIN (SELECT DISTINCT key FROM bands) n ON o.key = n.key
