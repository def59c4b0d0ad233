-- Facts without those of documents taken out. What was removed for one of these is in no corpus now, so it must not win
-- over a document of a later crawl: its preference comes after all others.
SELECT f.address AS address, f.id AS id, f.url AS url, f.text_bytes AS text_bytes,
       CASE WHEN o.address IS NULL THEN f.preference ELSE CONCAT('{after_all}', f.preference) END AS preference,
       f.digest_a AS digest_a, f.digest_b AS digest_b, f.url_a AS url_a, f.url_b AS url_b
FROM facts f
LEFT JOIN gone g ON f.address = g.address
LEFT JOIN orphans o ON f.address = o.address
WHERE g.address IS NULL
