-- Pairs with both texts.
SELECT c.root AS root, c.address AS address, c.why AS why, l.text AS left_text, r.text AS right_text
FROM chosen c
JOIN texts l ON c.root = l.address
JOIN texts r ON c.address = r.address
