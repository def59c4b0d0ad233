-- Exact copies as verified pairs: what is one sequence of words is alike in every place.
SELECT root, address, CAST(1.0 AS DOUBLE) AS similarity, 'exact_duplicate' AS why
FROM edges
