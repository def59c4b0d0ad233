-- What is unlike a document is unlike its copy: where one was taken out, the copy that speaks for it now takes its pairs.
SELECT DISTINCT LEAST(p.root, p.address) AS root, GREATEST(p.root, p.address) AS address, p.similarity AS similarity,
       p.why AS why
FROM (
    SELECT COALESCE(m.address, a.root) AS root, COALESCE(n.address, a.address) AS address, a.similarity, a.why
    FROM apart a
    LEFT JOIN heirs m ON a.root = m.gone
    LEFT JOIN heirs n ON a.address = n.gone
) p
LEFT JOIN gone g ON p.root = g.address
LEFT JOIN gone h ON p.address = h.address
WHERE g.address IS NULL AND h.address IS NULL AND p.root <> p.address
