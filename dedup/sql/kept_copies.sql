-- Copies of a text whose first document was taken out are copies of the next one, which is none itself.
SELECT c.address AS address, COALESCE(n.address, c.root) AS root
FROM copies c
LEFT JOIN gone g ON c.address = g.address
LEFT JOIN heirs n ON c.root = n.gone
WHERE g.address IS NULL AND c.address <> COALESCE(n.address, c.root)
