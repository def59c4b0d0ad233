"""Documents to which rows to remove, and why: MinHash signatures, bands, SQL, verified components."""

from corpusmill.dedup.minhash_signatures import MinHash, optimal_bands

__all__ = ["MinHash", "optimal_bands"]
