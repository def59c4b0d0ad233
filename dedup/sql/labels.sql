-- Stars to clusters: of every member the smallest address of its component.
SELECT address, root AS cluster FROM stars
UNION ALL
SELECT DISTINCT root AS address, root AS cluster FROM stars
