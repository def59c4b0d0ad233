-- Candidate pairs with both signatures: stars, since a bucket of a million rows then costs a million pairs.
SELECT c.root AS root, c.address AS address, l.signature AS left_signature, r.signature AS right_signature
FROM (SELECT DISTINCT root, address FROM edges WHERE address <> root AND address >= {first}) c
JOIN signatures l ON c.root = l.address
JOIN signatures r ON c.address = r.address
