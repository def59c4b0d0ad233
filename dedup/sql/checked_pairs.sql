-- Pairs with the similarity of their texts where it was computed, else that of their signatures.
SELECT v.root AS root, v.address AS address, COALESCE(c.similarity, v.similarity) AS similarity, v.why AS why
FROM verified v
LEFT JOIN checked c ON v.root = c.root AND v.address = c.address
