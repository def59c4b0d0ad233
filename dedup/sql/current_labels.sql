-- The cluster of every earlier member now: clusters only ever merge, into the one of smaller address.
SELECT address, MIN(cluster) AS cluster
FROM earlier
GROUP BY address
