-- Facts of earlier documents with a text or an address of this crawl.
SELECT o.address AS address, o.id AS id, o.url AS url, o.text_bytes AS text_bytes, o.preference AS preference,
       o.digest_a AS digest_a, o.digest_b AS digest_b, o.url_a AS url_a, o.url_b AS url_b
FROM earlier o
LEFT JOIN (SELECT DISTINCT digest_a, digest_b FROM facts WHERE digest_a IS NOT NULL) t
ON o.digest_a = t.digest_a AND o.digest_b = t.digest_b
LEFT JOIN (SELECT DISTINCT url_a, url_b FROM facts WHERE url_a IS NOT NULL) u
ON o.url_a = u.url_a AND o.url_b = u.url_b
WHERE t.digest_a IS NOT NULL OR u.url_a IS NOT NULL
