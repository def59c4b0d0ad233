-- Facts of earlier documents in clusters that this crawl touches.
SELECT o.address AS address, o.id AS id, o.url AS url, o.text_bytes AS text_bytes, o.preference AS preference,
       o.digest_a AS digest_a, o.digest_b AS digest_b, o.url_a AS url_a, o.url_b AS url_b
FROM earlier o
JOIN labels l ON o.address = l.address
